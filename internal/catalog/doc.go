// Package catalog knows what a package directory holds, and what each package says
// of itself. cmd/spider asks it before it runs a task, to check arguments and to say
// which name was meant.
//
// [List] looks at files only. [Describe] has a package describe itself, which runs the
// package's code: always in a subprocess that is thrown away, never in this one. The
// package is taken for hostile: how long it takes and how much it says are bounded, and it
// is killed with its process group. A *[DescribeError] says why there is no
// description; that a package has none is no fault of it, and most in C have none.
//
// It hides the layout of the directory, the processes and the difference between a
// library and a program. It never opens a library, never changes a file, and keeps
// nothing: whoever asks twice starts two processes.
package catalog
