// Package pool is the parent's side of Spider: it starts executors, has them run
// tasks, ends those that hang, and explains every death.
//
// [StartProcess] starts one executor; [Process.Execute] runs one task on it. The
// calling goroutine itself writes the request and reads the answer. One deadline
// covers write, run and reply.
//
//	p, err := pool.StartProcess(pool.ProcessConfig{Executor: "spider-task-executor", PackageDir: dir})
//	...
//	defer p.Close()
//	result, err := p.Execute(pool.Request{Package: "arith", Task: "add", Context: ctx, Inputs: in}, time.Second)
//
// A package that is a program is an executor of its own: with ProcessConfig.Package
// it is preferred.
//
// How it can end is in the error's type: [*ExecutorError] (the executor answered
// with a failure and lives on; it wraps the task's [*tdl.Error]), [*TimeoutError],
// [*CrashError], [*ProtocolError] (each of which costs the process),
// [*TooLargeError] (nothing was sent) and [*SpawnError].
//
// The package runs no task code in its own process and links no cgo. It never
// waits for the end of a pipe alone: a task may have forked something that holds
// it open.
package pool
