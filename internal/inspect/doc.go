// Package inspect finds out what a file is that may be a package: how it was built, what
// it exports and needs, what it says of itself, and whether an executor would take it.
// cmd/spider asks it for inspect, packages, build and doctor.
//
// [Read] looks at the bytes, which may be anything: it is fuzzed, bounds what it reads,
// and runs nothing. [File] also has an executor load the file, in a subprocess that is
// thrown away; [Load] asks one for a package, by its name.
//
// It hides ELF, the traces that compilers leave, and how the dynamic linker looks for
// libraries. It never loads anything into this process, and changes no file.
package inspect
