// Package executor is the subprocess side of the protocol: it takes the
// process's stdin and stdout away from whatever code will run in it, reads one
// request at a time, has a [Runner] run it, and writes the answer.
//
// cmd/spider-task-executor is built on [Main], with internal/loader (packages as
// shared libraries) as its Runner.
//
// It hides the order of start-up, the private descriptors, the log and the exit
// status. It never loads code, links no cgo (so it is tested without it), knows
// no deadline (the parent owns that), and never writes to stdout anything that
// is not a complete response frame.
package executor
