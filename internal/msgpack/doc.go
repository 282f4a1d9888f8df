// Package msgpack reads and writes values as the framework's Rust side does
// with serde and rmp-serde: the same Go value gives the same bytes, and what
// the Rust decoder accepts or refuses, this one accepts or refuses.
//
// Two doors lead in:
//
//   - typed: a Go type is compiled once into a codec (reflect), which then
//     appends and decodes values without allocating beyond the result. tdl
//     calls it for task parameters, results and contexts. (internal/protocol has its
//     own decoder for the executor's errors: it imports nothing of this project.)
//   - generic: bytes to JSON and JSON to bytes, for tools that know no types.
//     cmd/spider calls it.
//
// It hides the marker bytes and the leniency rules of the decoder. It never
// panics on input, never recurses deeper than the input is allowed to nest, and
// never allocates from a length before checking that so many bytes are there.
//
// # Types
//
//	Go                              Rust                    bytes
//	int..int64, uint..uint64        i8..i64, u8..u64        shortest form, unsigned if not negative
//	float32, float64                f32, f64                ca, cb
//	bool, string                    bool, String            bool, str
//	[]T, [N]T, []byte too           Vec<T>, [T; N]          array
//	map[K]V                         BTreeMap<K, V>          map in the order of the keys
//	*T                              Option<T>               nil or the value
//	[Unit]                          ()                      nil
//	struct                          struct                  array of its fields
//	struct without fields           struct S {}             empty array
//	struct that embeds [Unit]       struct S;               empty array
//	struct that embeds [Tuple]      (A, B), struct S(A, B)  array
//	struct that embeds [Enum]       enum                    see there
//	string type with [Variants]     enum of unit variants   str
//	named type                      newtype                 the inner value
//	[Appender], [Decoder]           Serialize, Deserialize  its own
//	any                             a self-describing value what it holds
//
// A struct's fields are its exported ones in the order of their declaration.
// The tag tdl:"name" names a field for the map form and for error messages,
// which is otherwise the Go name in snake case (JobID is job_id), and tdl:"-"
// leaves it out. An embedded plain struct without a tag stands for its fields.
// Nil slices and maps are empty ones; decoding never gives nil for them.
//
// All else (channels, functions, complex numbers, uintptr, other interfaces,
// map keys with pointers in them) is a [*TypeError].
package msgpack
