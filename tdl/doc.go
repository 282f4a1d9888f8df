// Package tdl is for authors of TDL packages: sets of tasks that a Spider task
// executor runs in a subprocess. A package is one main package that registers
// plain Go functions:
//
//	package main
//
//	import (
//		"github.com/spider-go/spider/tdl"
//		_ "github.com/spider-go/spider/tdl/cshared" // exports the C symbols
//	)
//
//	func init() {
//		tdl.Register(tdl.Package{
//			Name:  "arith",
//			Tasks: []tdl.Task{tdl.Func("add", add)},
//		})
//	}
//
//	func add(ctx tdl.TaskContext, a, b int64) (int64, error) { return a + b, nil }
//
//	func main() { tdl.Main() }
//
// built with
//
//	go build -buildmode=c-shared -o $SPIDER_TDL_PACKAGE_DIR/arith/libarith.so .
//
// Start with [Register] and [Func]. [Error] is how a task says what went wrong,
// [TaskContext] how it learns which task of which job it is. Parents use both
// too: they build a context with [NewTaskContext] or [NewCommitContext], and find
// a task's *Error in the errors that package pool returns.
//
// The package runs on the task thread of an executor, called by tdl/cshared. It
// hides the encoding of values. In a library it starts no goroutines of its own; a
// program has one that watches its parent.
package tdl
