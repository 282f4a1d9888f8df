package protocol

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

const (
	// versionFields is how many fields the IncompatibleVersion variant has.
	versionFields = 6

	// maxSkipDepth is how deep a value under an unknown key may nest arrays,
	// maps and extensions: what rmp-serde's bound of 1,024 leaves under the map
	// that holds the key.
	maxSkipDepth = 1022

	// maxQuoted bounds, in bytes, how much of a peer's text goes into an error.
	maxQuoted = 64
)

// versionKeys is in the order of the fields' wire indices.
var versionKeys = [versionFields]string{
	"pkg_major", "pkg_minor", "pkg_patch",
	"exe_major", "exe_minor", "exe_patch",
}

// DecodeTdlError reads a msgpack TdlError. Bytes after it are ignored. A non-nil
// error is a [*MessageError] about b, and the TdlError is nil then.
func DecodeTdlError(b []byte) (*TdlError, error) {
	d := errorDecoder{message: "TdlError", whole: b, rest: b}
	return d.tdlError()
}

// DecodeExecutorError reads a msgpack ExecutorError. Bytes after it are ignored.
// A non-nil error is a [*MessageError] about b, and the ExecutorError is nil
// then.
func DecodeExecutorError(b []byte) (*ExecutorError, error) {
	d := errorDecoder{message: "ExecutorError", whole: b, rest: b}
	index, err := variant(&d, executorVariants[:])
	if err != nil {
		return nil, err
	}
	e := &ExecutorError{Variant: executorVariants[index]}
	switch e.Variant {
	case IncompatibleVersion:
		err = d.versions(e)
	case TaskError, PackageInitError:
		e.Task, err = d.tdlError()
	default:
		e.Message, err = d.text("message")
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// errorDecoder reads the msgpack of one error with the leniency of serde and
// rmp-serde: see the rules at each method.
type errorDecoder struct {
	message string
	whole   []byte
	rest    []byte
}

func (d *errorDecoder) offset() int { return len(d.whole) - len(d.rest) }

func (d *errorDecoder) fail(field, format string, args ...any) error {
	return &MessageError{
		Message: d.message, Field: field, Offset: d.offset(),
		Reason: fmt.Sprintf(format, args...) + fmt.Sprintf(" at offset %d", d.offset()),
	}
}

// unexpected reports that the next value is cut short (err is ErrShortBytes) or
// is not what is wanted.
func (d *errorDecoder) unexpected(field, want string, err error) error {
	if errors.Is(err, msgp.ErrShortBytes) {
		return d.fail(field, "%s is cut short (%d bytes left)", want, len(d.rest))
	}
	return d.fail(field, "wants %s, not marker 0x%02x,", want, d.rest[0])
}

func (d *errorDecoder) tdlError() (*TdlError, error) {
	index, err := variant(d, tdlVariants[:])
	if err != nil {
		return nil, err
	}
	e := &TdlError{Variant: tdlVariants[index]}
	if e.Message, err = d.text("message"); err != nil {
		return nil, err
	}
	return e, nil
}

// variant reads the start of an enum value up to its body: a map with one
// entry, keyed by the variant's name or index. The bare key, which serde allows
// for a variant without a body, is an error: no variant here is one.
func variant[V ~string](d *errorDecoder, variants []V) (int, error) {
	entries, rest, err := msgp.ReadMapHeaderBytes(d.rest)
	if err != nil {
		return 0, d.unexpected("variant", "a map of one entry", err)
	}
	if entries != 1 {
		return 0, d.fail("variant", "wants a map of one entry, not of %d,", entries)
	}
	d.rest = rest
	name, index, next, err := d.key("variant", "a variant's name or index")
	if err != nil {
		return 0, err
	}
	if name != nil {
		i := indexOf(variants, name)
		if i < 0 {
			return 0, d.fail("variant", "unknown variant %s", quote(name))
		}
		index = uint64(i)
	} else if index >= uint64(len(variants)) {
		return 0, d.fail("variant", "unknown variant index %d", index)
	}
	d.rest = next
	return int(index), nil
}

// key reads a variant or field key, without stepping over it: a str or bin (a
// non-nil name), else an unsigned integer. Signed forms are refused, as serde
// does.
func (d *errorDecoder) key(field, want string) (name []byte, index uint64, rest []byte, err error) {
	if len(d.rest) == 0 {
		return nil, 0, nil, d.unexpected(field, want, msgp.ErrShortBytes)
	}
	switch lead := d.rest[0]; {
	case lead <= 0x7f || 0xcc <= lead && lead <= 0xcf: // positive fixint, uint 8 to 64
		index, rest, err = msgp.ReadUint64Bytes(d.rest)
	default:
		if name, rest, err = msgp.ReadMapKeyZC(d.rest); name == nil {
			name = []byte{}
		}
	}
	if err != nil {
		return nil, 0, nil, d.unexpected(field, want, err)
	}
	return name, index, rest, nil
}

// text reads a string: a str or a bin, in UTF-8.
func (d *errorDecoder) text(field string) (string, error) {
	b, rest, err := msgp.ReadMapKeyZC(d.rest)
	if err != nil {
		return "", d.unexpected(field, "a string", err)
	}
	if !utf8.Valid(b) {
		return "", d.fail(field, "invalid UTF-8 in the string")
	}
	d.rest = rest
	return string(b), nil
}

// versions reads the body of an IncompatibleVersion: an array of all fields in
// order, or a bin with a byte for each (more are ignored), or a map.
func (d *errorDecoder) versions(e *ExecutorError) error {
	const want = "an array, a map or a bin of 6 numbers"
	if len(d.rest) == 0 {
		return d.unexpected("versions", want, msgp.ErrShortBytes)
	}
	var values [versionFields]uint32
	switch lead := d.rest[0]; {
	case lead&0xf0 == 0x90, lead == 0xdc, lead == 0xdd: // array
		n, rest, err := msgp.ReadArrayHeaderBytes(d.rest)
		if err != nil {
			return d.unexpected("versions", want, err)
		}
		if n != versionFields {
			return d.fail("versions", "wants %s, not an array of %d,", want, n)
		}
		d.rest = rest
		for i := range values {
			if err := d.number(i, &values); err != nil {
				return err
			}
		}
	case lead&0xf0 == 0x80, lead == 0xde, lead == 0xdf: // map
		if err := d.versionMap(&values); err != nil {
			return err
		}
	default:
		b, rest, err := msgp.ReadBytesZC(d.rest)
		if err != nil {
			return d.unexpected("versions", want, err)
		}
		if len(b) < versionFields {
			return d.fail("versions", "wants %s, not a bin of %d,", want, len(b))
		}
		d.rest = rest
		for i := range values {
			values[i] = uint32(b[i])
		}
	}
	e.Package = Version{values[0], values[1], values[2]}
	e.Executor = Version{values[3], values[4], values[5]}
	return nil
}

// versionMap reads the fields of an IncompatibleVersion keyed by name or index.
// Each must be there once; entries with other keys are skipped.
func (d *errorDecoder) versionMap(values *[versionFields]uint32) error {
	entries, rest, err := msgp.ReadMapHeaderBytes(d.rest)
	if err != nil {
		return d.unexpected("versions", "a map", err)
	}
	d.rest = rest
	var seen [versionFields]bool
	for range entries {
		name, index, next, err := d.key("versions", "a field's name or index")
		if err != nil {
			return err
		}
		i := -1
		if name != nil {
			i = indexOf(versionKeys[:], name)
		} else if index < versionFields {
			i = int(index)
		}
		if i >= 0 && seen[i] {
			return d.fail(versionKeys[i], "duplicate field")
		}
		d.rest = next
		if i < 0 {
			if err := d.skip(maxSkipDepth); err != nil {
				return err
			}
			continue
		}
		seen[i] = true
		if err := d.number(i, values); err != nil {
			return err
		}
	}
	for i, ok := range seen {
		if !ok {
			return d.fail(versionKeys[i], "missing from the map that ends")
		}
	}
	return nil
}

// number reads field i of an IncompatibleVersion: any integer form whose value
// fits.
func (d *errorDecoder) number(i int, values *[versionFields]uint32) error {
	v, rest, err := msgp.ReadUint32Bytes(d.rest)
	if err != nil {
		return d.unexpected(versionKeys[i], "a number from 0 to 4294967295", err)
	}
	d.rest = rest
	values[i] = v
	return nil
}

// skip steps over one value of any kind, which may nest up to depth levels.
func (d *errorDecoder) skip(depth int) error {
	const field = "unknown field"
	if len(d.rest) == 0 {
		return d.unexpected(field, "a value", msgp.ErrShortBytes)
	}
	lead := d.rest[0]
	var size, elements uint64 // bytes after the marker, values after those
	nested := false
	switch {
	case lead <= 0x7f, lead >= 0xe0: // fixint
	case lead <= 0x8f: // fixmap
		elements, nested = 2*uint64(lead&0x0f), true
	case lead <= 0x9f: // fixarray
		elements, nested = uint64(lead&0x0f), true
	case lead <= 0xbf: // fixstr
		size = uint64(lead & 0x1f)
	default:
		switch lead {
		case 0xc0, 0xc2, 0xc3: // nil, bool
		case 0xcc, 0xd0:
			size = 1
		case 0xcd, 0xd1:
			size = 2
		case 0xca, 0xce, 0xd2:
			size = 4
		case 0xcb, 0xcf, 0xd3:
			size = 8
		case 0xc4, 0xd9: // bin 8, str 8
			size = 1 + d.claim(1)
		case 0xc5, 0xda:
			size = 2 + d.claim(2)
		case 0xc6, 0xdb:
			size = 4 + d.claim(4)
		case 0xd4, 0xd5, 0xd6, 0xd7, 0xd8: // fixext 1 to 16: a type byte first
			size, nested = 1+uint64(1)<<(lead-0xd4), true
		case 0xc7: // ext 8
			size, nested = 2+d.claim(1), true
		case 0xc8:
			size, nested = 3+d.claim(2), true
		case 0xc9:
			size, nested = 5+d.claim(4), true
		case 0xdc:
			size, elements, nested = 2, d.claim(2), true
		case 0xdd:
			size, elements, nested = 4, d.claim(4), true
		case 0xde:
			size, elements, nested = 2, 2*d.claim(2), true
		case 0xdf:
			size, elements, nested = 4, 2*d.claim(4), true
		default: // 0xc1
			return d.fail(field, "reserved marker 0x%02x", lead)
		}
	}
	if size > uint64(len(d.rest)-1) {
		return d.unexpected(field, "a value", msgp.ErrShortBytes)
	}
	if nested {
		if depth == 0 {
			return d.fail(field, "value nested too deep")
		}
		depth--
	}
	d.rest = d.rest[1+size:]
	for range elements {
		if err := d.skip(depth); err != nil {
			return err
		}
	}
	return nil
}

// claim reads the big-endian length of n bytes after the marker. Where fewer
// are there it returns 0: the value is then too short by the length alone.
func (d *errorDecoder) claim(n int) uint64 {
	if len(d.rest) < 1+n {
		return 0
	}
	var v uint64
	for _, b := range d.rest[1 : 1+n] {
		v = v<<8 | uint64(b)
	}
	return v
}

// quote makes a peer's text fit for an error message.
func quote(text []byte) string {
	if len(text) > maxQuoted {
		return fmt.Sprintf("%q...", text[:maxQuoted])
	}
	return fmt.Sprintf("%q", text)
}
