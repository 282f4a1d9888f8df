// Package pool is the parent's side of Spider: it starts executors, has them run
// tasks, ends those that hang, and explains every death.
//
//	p, err := pool.New(pool.Config{
//		Executor:   "spider-task-executor",
//		PackageDir: "packages",
//		Timeout:    10 * time.Second,
//	})
//	...
//	defer p.Close(context.Background())
//	sum, err := pool.Call[int64](ctx, p, "arith", "add", 2, 3)
//
// [Pool.Execute] is the same in bytes. The calling goroutine itself writes the
// request, waits and reads the answer. [StartProcess] starts a single executor,
// without a pool's supervision.
//
// # How a call can end
//
// The error's type says what happened, what it cost, and what to do. errors.As finds
// it.
//
//	[*ExecutorError]  the executor answered with a failure and lives on: the task's own
//	                  error, an [*tdl.Error] inside, or a package that cannot be
//	                  loaded (if it is not even there, no executor is asked). Made
//	                  again, the call ends the same.
//	[*TimeoutError]   no answer within the limit; the process and all it forked have
//	                  been killed. The call may succeed with more time.
//	[*CrashError]     the process ended without an answer: by which signal or status,
//	                  with which last words. The call may be made again if running the
//	                  task twice does no harm; if it crashes again, the task or its
//	                  input is at fault.
//	[*ProtocolError]  the process wrote what is no answer, and has been killed. Check
//	                  that the executor is one.
//	[*CanceledError]  the call's context ended: while it waited, or while the task ran,
//	                  whose process has then been killed.
//	[*TooLargeError]  the request fits no frame, and nothing was sent; or the answer
//	                  does not. Pass less, or a path.
//	[*SpawnError]     no executor could be started. Check the program and the limits.
//	[*BreakerError]   starting or loading has failed too often in a row; nothing was
//	                  sent. Try later.
//	[ErrClosed]       the pool has been closed.
//
// Each is told apart from the others in whatever order they are looked for: a
// [*SpawnError] and a [*BreakerError] do not unwrap to the [*CrashError] of an executor
// that died while it started, since no task was lost with it. It is in their Err. Only a
// [*CanceledError] may unwrap to another call's error, where that is the context's cause.
//
// [Retryable] tells those apart that may end differently the next time. The errors of
// a lost process carry a [Report].
//
// Answers have no number on the wire. An executor that answers a request twice is found
// out if the second answer is there before the next request is sent; one that comes later
// is taken for the next call's. Executors of this module never do that; packages that are
// programs can if they write to the protocol's descriptor themselves.
//
// # What the pool sees to
//
// A process is the leader of its own group, and the whole group is killed. Warm
// spares stand by, so that the call after a death finds a process that runs already.
// A call goes to a process that has its package loaded, if one is free; where it has
// not, the package is loaded first, with a limit of its own. Spares load what was
// called last, in the background. Where a package is
// staged as a program of its own, that program is its executor. A package whose file
// has been replaced is never called in its old form. Deaths in a row while starting or
// loading lead to a growing pause, then to a [*BreakerError]; tasks that crash do not,
// since their inputs differ. Stderr is always read, never kept without bound, and
// what a task wrote there is handed on before its answer, as far as the call's limit
// allows. Executors end with this program, however it ends.
//
// The package runs no task code in its own process and links no cgo. It never
// waits for the end of a pipe alone: a task may have forked something that holds
// it open.
package pool
