// Package wire is the payload sequence, the form in which a task's inputs and
// outputs travel, and the task outputs buffer, the form in which a commit task
// receives what the graph produced.
//
//	sequence = u32 LE count, then count times: u32 LE length + that many bytes
//	buffer   = 00 + sequence | 01 + zstd(sequence)
//
// tdl splits and builds them around a task, cmd/spider and internal/bench do so
// on the parent's side. What is inside a payload is not looked at here: that is
// internal/msgpack's. Nothing is allocated from a count or a length that the
// buffer at hand could not hold.
package wire
