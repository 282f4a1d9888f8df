// Package doctor looks at what running and building packages takes on this machine:
// compilers, the executor, the package directory and each package in it, the kernel, and
// limits. cmd/spider calls it for doctor.
//
// Each [Finding] says what was found and, if it is not right, what to do. It hides where
// the kernel tells what. It changes nothing; what it builds or starts to try it, is gone
// when it returns.
package doctor
