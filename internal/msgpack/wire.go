package msgpack

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// Marker bytes. The fix forms carry a value: 00-7f a positive integer, 80-8f a
// map's length, 90-9f an array's, a0-bf a string's, e0-ff a negative integer.
const (
	markFixMap   = 0x80
	markFixArray = 0x90
	markFixStr   = 0xa0
	markNil      = 0xc0
	markReserved = 0xc1
	markFalse    = 0xc2
	markTrue     = 0xc3
	markBin8     = 0xc4
	markBin32    = 0xc6
	markExt8     = 0xc7
	markExt32    = 0xc9
	markFloat32  = 0xca
	markFloat64  = 0xcb
	markUint8    = 0xcc
	markUint64   = 0xcf
	markInt8     = 0xd0
	markInt64    = 0xd3
	markFixExt1  = 0xd4
	markFixExt16 = 0xd8
	markStr8     = 0xd9
	markStr32    = 0xdb
	markArray16  = 0xdc
	markArray32  = 0xdd
	markMap16    = 0xde
	markMap32    = 0xdf
	markNegative = 0xe0
)

// form is the family of a marker byte.
type form byte

const (
	formEnd form = iota // no byte is left
	formNil
	formBool
	formInt
	formFloat
	formStr
	formBin
	formArray
	formMap
	formExt
	formReserved
)

// formOf tells what kind of value is at the front of b.
func formOf(b []byte) form {
	if len(b) == 0 {
		return formEnd
	}
	switch m := b[0]; {
	case m < markFixMap || m >= markNegative || m >= markUint8 && m <= markInt64:
		return formInt
	case m < markFixArray || m >= markMap16:
		return formMap
	case m < markFixStr || m >= markArray16:
		return formArray
	case m < markNil || m >= markStr8:
		return formStr
	case m == markNil:
		return formNil
	case m == markReserved:
		return formReserved
	case m <= markTrue:
		return formBool
	case m <= markBin32:
		return formBin
	case m == markFloat32 || m == markFloat64:
		return formFloat
	default: // c7-c9, d4-d8
		return formExt
	}
}

// describe names the value at the front of b for an error message.
func describe(b []byte) string {
	switch formOf(b) {
	case formEnd:
		return "the end of the bytes"
	case formNil:
		return "nil"
	case formBool:
		return strconv.FormatBool(b[0] == markTrue)
	case formInt:
		if u, _, err := msgp.ReadUint64Bytes(b); err == nil {
			return "integer " + strconv.FormatUint(u, 10)
		}
		if i, _, err := msgp.ReadInt64Bytes(b); err == nil {
			return "integer " + strconv.FormatInt(i, 10)
		}
		return "a truncated integer"
	case formFloat:
		if b[0] == markFloat32 && len(b) >= 5 {
			return "float " + strconv.FormatFloat(float64(math.Float32frombits(binary.BigEndian.Uint32(b[1:]))), 'g', -1, 32)
		}
		if b[0] == markFloat64 && len(b) >= 9 {
			return "float " + strconv.FormatFloat(math.Float64frombits(binary.BigEndian.Uint64(b[1:])), 'g', -1, 64)
		}
		return "a truncated float"
	case formStr:
		s, _, err := msgp.ReadStringZC(b)
		if err != nil {
			return "a truncated string"
		}
		if !utf8.Valid(s) {
			return "a string that is not UTF-8"
		}
		return "string " + quote(s)
	case formBin:
		s, _, err := msgp.ReadBytesZC(b)
		if err != nil {
			return "a truncated bin"
		}
		return fmt.Sprintf("bin of %d bytes", len(s))
	case formArray:
		n, _, err := msgp.ReadArrayHeaderBytes(b)
		if err != nil {
			return "a truncated array"
		}
		return fmt.Sprintf("array of %d", n)
	case formMap:
		n, _, err := msgp.ReadMapHeaderBytes(b)
		if err != nil {
			return "a truncated map"
		}
		return fmt.Sprintf("map of %d", n)
	case formExt:
		return "an ext value"
	default:
		return "the reserved byte c1"
	}
}

// quote quotes s, clipped to 40 bytes, for an error message.
func quote(s []byte) string {
	const limit = 40
	if len(s) <= limit {
		return strconv.Quote(string(s))
	}
	cut := limit
	for cut > limit-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(string(s[:cut])) + "..."
}

// openArray reads an array's header and takes one level of nesting. Every
// element is at least one byte, so a count beyond the bytes left is refused
// before anything is allocated for it.
func openArray(b []byte, r *room) (n int, rest []byte, err error) {
	count, rest, e := msgp.ReadArrayHeaderBytes(b)
	if e != nil {
		return 0, nil, wrong(b, "an array")
	}
	if r.nesting == 0 {
		return 0, nil, tooDeep(b)
	}
	r.nesting--
	if uint64(count) > uint64(len(rest)) {
		return 0, nil, cutShort(b, "array", count, len(rest))
	}
	return int(count), rest, nil
}

// openMap is openArray for a map of n entries.
func openMap(b []byte, r *room) (n int, rest []byte, err error) {
	count, rest, e := msgp.ReadMapHeaderBytes(b)
	if e != nil {
		return 0, nil, wrong(b, "a map")
	}
	if r.nesting == 0 {
		return 0, nil, tooDeep(b)
	}
	r.nesting--
	if 2*uint64(count) > uint64(len(rest)) {
		return 0, nil, cutShort(b, "map", count, len(rest))
	}
	return int(count), rest, nil
}

func cutShort(b []byte, what string, count uint32, left int) error {
	return wrongly(b, "a complete "+what, fmt.Sprintf("%s of %d with %d bytes left", what, count, left))
}

// first is how many of n elements of size bytes each may be allocated before
// the first of them was read. It takes them from r.
func (r *room) first(n int, size uintptr) int {
	if size == 0 {
		return n
	}
	limit := max(r.ahead, minAhead) / int(size)
	limit = min(n, max(limit, 1))
	r.ahead = max(0, r.ahead-limit*int(size))
	return limit
}
