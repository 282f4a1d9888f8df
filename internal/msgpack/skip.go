package msgpack

import (
	"encoding/binary"

	"github.com/tinylib/msgp/msgp"
)

// Skip returns the bytes after the first value of b. It accepts what the Rust
// decoder accepts where a value is ignored: ext values and strings that are not
// UTF-8 pass, the reserved byte, a value cut short and nesting past the bound do
// not.
func Skip(b []byte) (rest []byte, err error) {
	rest, err = skip(b, newRoom(0))
	if err != nil {
		return nil, finishDecode(err, len(b))
	}
	return rest, nil
}

func skip(b []byte, r room) (rest []byte, err error) {
	size := -1 // bytes of a value without values inside
	switch formOf(b) {
	case formNil, formBool:
		size = 1
	case formInt:
		size = 1
		switch m := b[0]; {
		case m >= markUint8 && m <= markUint64:
			size += 1 << (m - markUint8)
		case m >= markInt8 && m <= markInt64:
			size += 1 << (m - markInt8)
		}
	case formFloat:
		size = 5 + 4*int(b[0]-markFloat32)
	case formStr:
		if _, rest, err := msgp.ReadStringZC(b); err == nil {
			return rest, nil
		}
	case formBin:
		if _, rest, err := msgp.ReadBytesZC(b); err == nil {
			return rest, nil
		}
	case formExt:
		if r.nesting == 0 {
			return nil, tooDeep(b)
		}
		if _, _, rest, ok := readExt(b); ok {
			return rest, nil
		}
	case formArray:
		n, rest, err := openArray(b, &r)
		for ; err == nil && n > 0; n-- {
			rest, err = skip(rest, r)
		}
		return rest, err
	case formMap:
		n, rest, err := openMap(b, &r)
		for n *= 2; err == nil && n > 0; n-- {
			rest, err = skip(rest, r)
		}
		return rest, err
	}
	if size < 0 || size > len(b) {
		return nil, wrong(b, "a value")
	}
	return b[size:], nil
}

// readExt splits an ext value into its type and data.
func readExt(b []byte) (kind int8, data, rest []byte, ok bool) {
	var size uint64
	head := 1
	switch m := b[0]; {
	case m >= markFixExt1 && m <= markFixExt16:
		size = 1 << (m - markFixExt1)
	default: // c7, c8, c9: a length of 1, 2 or 4 bytes
		width := 1 << (m - markExt8)
		head += width
		if len(b) < head {
			return 0, nil, nil, false
		}
		var be [4]byte
		copy(be[4-width:], b[1:head])
		size = uint64(binary.BigEndian.Uint32(be[:]))
	}
	if uint64(len(b)) < uint64(head)+1+size {
		return 0, nil, nil, false
	}
	end := head + 1 + int(size)
	return int8(b[head]), b[head+1 : end], b[end:], true
}
