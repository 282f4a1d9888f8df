// Package bench is the overhead report: what a call of a task through an
// executor costs beyond the task itself. `spider bench` and `make bench` call
// [Run] and write [Report.Markdown]; their main calls [Worker] first.
//
// Run measures package pool as its users see it, with a bare C echo over two
// pipes beside it in the same run: both on the same cores, in alternating blocks
// of calls, because on shared machines nothing that was measured at another time
// can be compared. Other executors take part with [Config.Against].
//
// The package hides how a process is pinned before its runtime starts (Run
// starts the program it stands in once more, as a worker), how the sleep to
// subtract is found, and the C program. It never changes how the product works
// while it is measured: the garbage collector runs, answers are copied,
// deadlines are set. It never reports a run in which one answer was wrong.
package bench
