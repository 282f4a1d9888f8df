// Package staging builds a package and puts it where executors find it. cmd/spider calls it
// for build.
//
// What is built lands beside its place, is loaded there in a process that is thrown
// away, and takes its place by rename when that went well: whoever looks finds the old
// file or the new one, whole, and a package that is broken never replaces one that
// works. The package's name is the one that it declares itself.
//
// It hides three compilers and the order of these steps. It never writes into a file that
// an executor may have mapped.
package staging
