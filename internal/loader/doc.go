// Package loader opens TDL packages (shared libraries with the C ABI of
// tdl/cshared/tdl.h), checks them, and calls their tasks. It is the Runner of
// cmd/spider-task-executor.
//
// Everything that only C can do for a process that hosts foreign native code
// stands here too, because it protects exactly those calls: a fault shows its
// true signal, the Go runtimes in the process keep their preemption, a task
// that leaves its thread aborts, the process ends when its parent does, even in
// the middle of a task that never returns.
//
// It hides dlopen, the struct-passing ABI and who frees what. It never closes a
// library (unloading is unsafe for native code and impossible for Go), never
// touches a path outside the package directory, and never hands a meaningless
// zero-length pointer to Go, whose runtime would crash on seeing it.
package loader
