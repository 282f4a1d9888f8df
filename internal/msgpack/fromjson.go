package msgpack

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"
)

// JSONError says what in a JSON text cannot be read.
type JSONError struct {
	Offset int // in bytes
	Reason string
}

func (e *JSONError) Error() string {
	return fmt.Sprintf("JSON: %s (offset %d)", e.Reason, e.Offset)
}

// FromJSON appends to dst the msgpack form of text, which is exactly one JSON
// value with nothing but white space around it.
//
//   - a number with '.', 'e' or 'E' is an f64; any other is an integer and must
//     fit 64 bits, signed or unsigned; -0 is the integer 0, -0.0 the float
//   - NaN, Infinity and -Infinity, without quotes, are f64 values too, which is
//     an extension of JSON
//   - objects keep the order of their keys, and keys that occur twice; keys are
//     always strings
//   - a byte vector is written as an array of integers; there is no text for
//     bin and ext
//
// Strings must be UTF-8 with paired surrogates. More than 1,023 nested arrays
// and objects are an error. On error, a [*JSONError], dst is returned as it was.
func FromJSON(dst, text []byte) ([]byte, error) {
	p := jsonParser{text: text}
	p.space()
	err := p.value(0)
	if err == nil {
		p.space()
		if p.at < len(text) {
			err = p.fault("unexpected %s after the value", p.here())
		}
	}
	if err != nil {
		return dst, err
	}
	return p.assemble(dst), nil
}

// jsonParser turns JSON into msgpack in one pass. A container's header needs
// its count, which is known only at its end, so body is written without the
// headers and assemble puts them in.
type jsonParser struct {
	text       []byte
	at         int
	body       []byte
	containers []jsonContainer // in the order in which they begin
}

type jsonContainer struct {
	begin  int // in body
	count  uint32
	object bool
}

func (p *jsonParser) assemble(dst []byte) []byte {
	from := 0
	for _, c := range p.containers {
		dst = append(dst, p.body[from:c.begin]...)
		from = c.begin
		if c.object {
			dst = msgp.AppendMapHeader(dst, c.count)
		} else {
			dst = msgp.AppendArrayHeader(dst, c.count)
		}
	}
	return append(dst, p.body[from:]...)
}

func (p *jsonParser) fault(format string, args ...any) error {
	return &JSONError{Offset: p.at, Reason: fmt.Sprintf(format, args...)}
}

// here names what is at the current place.
func (p *jsonParser) here() string {
	if p.at == len(p.text) {
		return "end"
	}
	r, size := utf8.DecodeRune(p.text[p.at:])
	if r == utf8.RuneError && size <= 1 {
		return fmt.Sprintf("byte %#02x", p.text[p.at])
	}
	return strconv.QuoteRune(r)
}

func (p *jsonParser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// next takes c if it is next.
func (p *jsonParser) next(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *jsonParser) word(w string) bool {
	if !bytes.HasPrefix(p.text[p.at:], []byte(w)) {
		return false
	}
	p.at += len(w)
	return true
}

// value reads one value inside of depth containers.
func (p *jsonParser) value(depth int) error {
	if p.at == len(p.text) {
		return p.fault("unexpected end, where a value should be")
	}
	switch c := p.text[p.at]; {
	case c == '{' || c == '[':
		return p.container(depth)
	case c == '"':
		return p.string()
	case p.word("null"):
		p.body = append(p.body, markNil)
	case p.word("true"):
		p.body = append(p.body, markTrue)
	case p.word("false"):
		p.body = append(p.body, markFalse)
	case p.word(wordNaN):
		p.body = msgp.AppendFloat64(p.body, math.NaN())
	case p.word(wordInf):
		p.body = msgp.AppendFloat64(p.body, math.Inf(1))
	case p.word(wordMinusInf):
		p.body = msgp.AppendFloat64(p.body, math.Inf(-1))
	case c == '-' || isDigit(c):
		return p.number()
	default:
		return p.fault("unexpected %s, where a value should be", p.here())
	}
	return nil
}

func (p *jsonParser) container(depth int) error {
	if depth == maxNesting {
		return p.fault("more than %d nested arrays and objects", maxNesting)
	}
	object := p.text[p.at] == '{'
	end := byte(']')
	if object {
		end = '}'
	}
	at := len(p.containers)
	p.containers = append(p.containers, jsonContainer{begin: len(p.body), object: object})
	p.at++
	p.space()
	if p.next(end) {
		return nil
	}
	for count := uint64(1); ; count++ {
		if count > math.MaxUint32 {
			return p.fault("more than %d elements", uint32(math.MaxUint32))
		}
		p.space()
		if object {
			if p.at == len(p.text) || p.text[p.at] != '"' {
				return p.fault("unexpected %s, where a key should be", p.here())
			}
			if err := p.string(); err != nil {
				return err
			}
			p.space()
			if !p.next(':') {
				return p.fault("unexpected %s, where ':' should be", p.here())
			}
			p.space()
		}
		if err := p.value(depth + 1); err != nil {
			return err
		}
		p.space()
		if p.next(end) {
			p.containers[at].count = uint32(count)
			return nil
		}
		if !p.next(',') {
			return p.fault("unexpected %s, where ',' or '%c' should be", p.here(), end)
		}
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// digits takes at least one digit.
func (p *jsonParser) digits() bool {
	start := p.at
	for p.at < len(p.text) && isDigit(p.text[p.at]) {
		p.at++
	}
	return p.at > start
}

func (p *jsonParser) number() error {
	start := p.at
	negative := p.next('-')
	float := false
	if !p.next('0') && !p.digits() {
		return p.fault("unexpected %s, where a digit should be", p.here())
	}
	if p.next('.') {
		float = true
		if !p.digits() {
			return p.fault("unexpected %s, where a digit should be", p.here())
		}
	}
	if p.next('e') || p.next('E') {
		float = true
		if !p.next('+') {
			p.next('-')
		}
		if !p.digits() {
			return p.fault("unexpected %s, where a digit should be", p.here())
		}
	}
	text := string(p.text[start:p.at])
	var err error
	switch {
	case float:
		var f float64
		if f, err = strconv.ParseFloat(text, 64); err == nil {
			p.body = msgp.AppendFloat64(p.body, f)
		}
	case negative:
		var i int64
		if i, err = strconv.ParseInt(text, 10, 64); err == nil {
			p.body = appendInt(p.body, i)
		}
	default:
		var u uint64
		if u, err = strconv.ParseUint(text, 10, 64); err == nil {
			p.body = msgp.AppendUint64(p.body, u)
		}
	}
	if err != nil {
		p.at = start
		kind := "64-bit integer"
		if float {
			kind = "64-bit float"
		}
		return p.fault("the number %s does not fit a %s", quoteNumber(text), kind)
	}
	return nil
}

// quoteNumber clips a number of absurd length for an error message.
func quoteNumber(text string) string {
	const limit = 40
	if len(text) > limit {
		return text[:limit] + "..."
	}
	return text
}

// string reads a string, or a key, and writes it as str.
func (p *jsonParser) string() error {
	p.at++
	start := p.at
	for p.at < len(p.text) { // most strings have no escapes: one copy
		c := p.text[p.at]
		if c == '"' {
			s := p.text[start:p.at]
			if !utf8.Valid(s) {
				break
			}
			p.at++
			return p.str(s)
		}
		if c == '\\' || c < ' ' {
			break
		}
		p.at++
	}
	s := make([]byte, 0, p.at-start+16)
	for p.at = start; p.at < len(p.text); {
		c := p.text[p.at]
		switch {
		case c == '"':
			p.at++
			return p.str(s)
		case c == '\\':
			r, err := p.escape()
			if err != nil {
				return err
			}
			s = utf8.AppendRune(s, r)
		case c < ' ':
			return p.fault("control character %#02x in a string", c)
		case c < utf8.RuneSelf:
			s = append(s, c)
			p.at++
		default:
			r, size := utf8.DecodeRune(p.text[p.at:])
			if r == utf8.RuneError && size <= 1 {
				return p.fault("byte %#02x in a string is not UTF-8", c)
			}
			s = append(s, p.text[p.at:p.at+size]...)
			p.at += size
		}
	}
	return p.fault("unexpected end in a string")
}

func (p *jsonParser) str(s []byte) error {
	if uint64(len(s)) > math.MaxUint32 {
		return p.fault("a string of %d bytes is too long", len(s))
	}
	p.body = msgp.AppendStringFromBytes(p.body, s)
	return nil
}

// escape reads an escape sequence, two of them for a surrogate pair.
func (p *jsonParser) escape() (rune, error) {
	if p.at+1 == len(p.text) {
		p.at++
		return 0, p.fault("unexpected end in a string")
	}
	c := p.text[p.at+1]
	switch c {
	case '"', '\\', '/':
	case 'b':
		c = '\b'
	case 'f':
		c = '\f'
	case 'n':
		c = '\n'
	case 'r':
		c = '\r'
	case 't':
		c = '\t'
	case 'u':
		first, ok := p.unicodeEscape(p.at)
		if !ok {
			return 0, p.fault(`\u needs four hexadecimal digits`)
		}
		if !utf16.IsSurrogate(first) {
			p.at += 6
			return first, nil
		}
		second, ok := p.unicodeEscape(p.at + 6)
		r := utf16.DecodeRune(first, second)
		if !ok || r == utf8.RuneError {
			return 0, p.fault("surrogate without its other half")
		}
		p.at += 12
		return r, nil
	default:
		return 0, p.fault(`unknown escape \%c`, c)
	}
	p.at += 2
	return rune(c), nil
}

// unicodeEscape reads the form \uXXXX at i.
func (p *jsonParser) unicodeEscape(i int) (rune, bool) {
	if len(p.text)-i < 6 || p.text[i] != '\\' || p.text[i+1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range p.text[i+2 : i+6] {
		switch {
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	return r, true
}
