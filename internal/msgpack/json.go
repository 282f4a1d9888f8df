package msgpack

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// AppendJSON appends the first value of b as compact JSON to dst and returns
// the bytes of b after it. Nothing is lost to a reader's eye:
//
//   - integers are exact, whatever their size
//   - floats are the shortest text that reads back as the same float of their
//     width and always look like floats (1.0, not 1); the ones JSON has no
//     number for are the strings "NaN", "Infinity" and "-Infinity"
//   - bin is an array of integers, as byte vectors are
//   - ext is {"$ext":[type,[bytes...]]}
//   - a map keeps its entries and their order, so a key that occurs twice does
//     so in the object; a key that is not a string becomes its own JSON text
//     as a string, NaN and the infinities without further quotes, and where
//     that has a key in it that is no scalar, that one as hexadecimal msgpack
//
// A string that is not UTF-8, the reserved byte, a value cut short and more than
// 1,023 nested arrays and maps are errors; dst is then returned as it was.
func AppendJSON(dst, b []byte) (out, rest []byte, err error) {
	out, rest, err = appendJSON(dst, b, newRoom(0), false)
	if err != nil {
		return dst, nil, finishDecode(err, len(b))
	}
	return out, rest, nil
}

// appendJSON is AppendJSON with room r, perhaps inside of a map's key.
func appendJSON(dst, b []byte, r room, inKey bool) (out, rest []byte, err error) {
	switch formOf(b) {
	case formNil:
		return append(dst, "null"...), b[1:], nil
	case formBool:
		return strconv.AppendBool(dst, b[0] == markTrue), b[1:], nil
	case formInt:
		if u, rest, ok := readUint(b); ok {
			return strconv.AppendUint(dst, u, 10), rest, nil
		}
		if i, rest, ok := readInt(b); ok {
			return strconv.AppendInt(dst, i, 10), rest, nil
		}
	case formFloat:
		if out, rest, ok := appendJSONFloat(dst, b, true); ok {
			return out, rest, nil
		}
	case formStr:
		if s, rest, err := msgp.ReadStringZC(b); err == nil && utf8.Valid(s) {
			return appendJSONString(dst, s), rest, nil
		}
	case formBin:
		if data, rest, err := msgp.ReadBytesZC(b); err == nil {
			return appendJSONBytes(dst, data), rest, nil
		}
	case formExt:
		if kind, data, rest, ok := readExt(b); ok {
			dst = append(dst, `{"$ext":[`...)
			dst = append(strconv.AppendInt(dst, int64(kind), 10), ',')
			return append(appendJSONBytes(dst, data), "]}"...), rest, nil
		}
	case formArray:
		n, rest, err := openArray(b, &r)
		if err != nil {
			return nil, nil, err
		}
		dst = append(dst, '[')
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, rest, err = appendJSON(dst, rest, r, inKey); err != nil {
				return nil, nil, inElement(err, i)
			}
		}
		return append(dst, ']'), rest, nil
	case formMap:
		n, rest, err := openMap(b, &r)
		if err != nil {
			return nil, nil, err
		}
		dst = append(dst, '{')
		for i := range n {
			if i > 0 {
				dst = append(dst, ',')
			}
			start := rest
			if dst, rest, err = appendJSONKey(dst, rest, r, inKey); err != nil {
				return nil, nil, within(err, "[key]")
			}
			key := start[:len(start)-len(rest)]
			if dst, rest, err = appendJSON(append(dst, ':'), rest, r, inKey); err != nil {
				return nil, nil, within(err, "["+keyText(key)+"]")
			}
		}
		return append(dst, '}'), rest, nil
	}
	return nil, nil, wrong(b, "a value")
}

// appendJSONKey appends a map's key, which is always a string in JSON. Quoting
// the text of a key inside of a key inside of a key would double its length at
// every level, so the second level is hexadecimal.
func appendJSONKey(dst, b []byte, r room, inKey bool) (out, rest []byte, err error) {
	var text []byte
	switch formOf(b) {
	case formStr:
		return appendJSON(dst, b, r, inKey)
	case formFloat:
		var ok bool
		if text, rest, ok = appendJSONFloat(nil, b, false); !ok {
			return nil, nil, wrong(b, "a value")
		}
	case formArray, formMap, formBin, formExt:
		if inKey {
			if rest, err = skip(b, r); err != nil {
				return nil, nil, err
			}
			text = hex.AppendEncode(nil, b[:len(b)-len(rest)])
			break
		}
		fallthrough
	default:
		if text, rest, err = appendJSON(nil, b, r, true); err != nil {
			return nil, nil, err
		}
	}
	return appendJSONString(dst, text), rest, nil
}

func appendJSONBytes(dst, data []byte) []byte {
	dst = append(dst, '[')
	for i, x := range data {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(x), 10)
	}
	return append(dst, ']')
}

// appendJSONFloat appends the float at the front of b. What JSON has no number
// for is a word, in quotes or not.
func appendJSONFloat(dst, b []byte, quotes bool) (out, rest []byte, ok bool) {
	var f float64
	bits := 64
	switch {
	case b[0] == markFloat64 && len(b) >= 9:
		f, rest = math.Float64frombits(binary.BigEndian.Uint64(b[1:])), b[9:]
	case b[0] == markFloat32 && len(b) >= 5:
		f, rest = float64(math.Float32frombits(binary.BigEndian.Uint32(b[1:]))), b[5:]
		bits = 32
	default:
		return nil, nil, false
	}
	word := ""
	switch {
	case math.IsNaN(f):
		word = wordNaN
	case math.IsInf(f, 1):
		word = wordInf
	case math.IsInf(f, -1):
		word = wordMinusInf
	}
	if word != "" {
		if quotes {
			word = `"` + word + `"`
		}
		return append(dst, word...), rest, true
	}
	// The thresholds are those of encoding/json and of JavaScript.
	if size := math.Abs(f); size != 0 && (size < 1e-6 || size >= 1e21) {
		return strconv.AppendFloat(dst, f, 'e', -1, bits), rest, true
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, bits)
	for _, c := range dst[start:] {
		if c == '.' {
			return dst, rest, true
		}
	}
	return append(dst, ".0"...), rest, true
}

// The words for the floats that JSON has no numbers for.
const (
	wordNaN      = "NaN"
	wordInf      = "Infinity"
	wordMinusInf = "-Infinity"
)

// appendJSONString quotes s, which is UTF-8.
func appendJSONString(dst, s []byte) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c >= ' ':
			dst = append(dst, c)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	return append(dst, '"')
}
