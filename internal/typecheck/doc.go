// Package typecheck tells, before a task runs, whether its arguments have the types
// that its package says they must have. cmd/spider asks it before it sends a request,
// so that a mistake costs no executor and is told by position, name and type.
//
// [New] takes a package's description, [Checker.Check] a task's arguments as msgpack,
// which is what internal/msgpack makes of JSON. It hides the notation of types and the
// leniency of decoders: what the task's own decoder would accept is never refused
// here. The other way round no promise is made: types that are written in a way it does
// not know, bin, and types with their own encoding pass.
//
// It never runs anything and never changes a value. The description is the package's
// word and may be nonsense, and so may the arguments: nothing panics, recurses deeper
// than a value nests, or takes longer than a multiple of both sizes.
package typecheck
