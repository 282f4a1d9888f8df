// Package tasktest holds test packages (C and Go) and the code that builds
// them, once per test run; it is used by tests and by `make build`, which
// stages them, and is never linked into a shipped program.
package tasktest
