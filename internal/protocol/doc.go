// Package protocol is the wire between a parent and an executor: frames, the
// bincode messages inside them, and the typed errors inside those. It serves
// both ends: pool (through [Reader], [AppendExecute], [DecodeResponse]) and
// internal/executor ([Reader], [DecodeRequest], [AppendResponse]).
//
// One frame:
//
//	+----------------+------------------------+
//	| u32 big-endian | body, 0 to limit bytes |
//	| body length    | (8 MiB by default)     |
//	+----------------+------------------------+
//
// One body is one bincode 1.x message: u32 little-endian enum tags, u64
// little-endian lengths, no padding, bytes after the message ignored.
//
//	Request  = 0 Execute  package string, task string, context bytes, inputs bytes
//	         | 1 Shutdown
//	Response = 0 Result   outcome, elapsed_us u64
//	outcome  = 0 Success  outputs bytes    (a payload sequence: internal/wire)
//	         | 1 Failure  error bytes      (a msgpack ExecutorError)
//
// Decoded messages are views into the frame: they are valid until the next
// frame is read. The package does no I/O of its own beyond the io.Reader it is
// given, keeps no clock, and never allocates from a length a peer claims.
package protocol
