package msgpack

import (
	"bytes"
	"reflect"
	"unsafe"
)

// customShape is a type that implements [Appender], [Decoder] or both. The
// direction it does not implement is a [*TypeError] when it is used.
type customShape struct {
	typ             reflect.Type
	appends         bool // the type or its pointer is an Appender
	appendsByValue  bool // the type itself is
	decodes         bool
	missingAppender *TypeError
	missingDecoder  *TypeError
}

func newCustomShape(t reflect.Type) *customShape {
	missing := func(what string) *TypeError {
		return &TypeError{Type: t, Fields: []string{t.String() + " has its own encoding but no " + what + " method"}}
	}
	p := reflect.PointerTo(t)
	return &customShape{
		typ:             t,
		appends:         p.Implements(appenderType),
		appendsByValue:  t.Implements(appenderType),
		decodes:         p.Implements(decoderType),
		missingAppender: missing("AppendTDL"),
		missingDecoder:  missing("DecodeTDL"),
	}
}

func (s *customShape) encode(dst []byte, v reflect.Value, r room) ([]byte, error) {
	if !s.appends {
		return nil, &EncodeError{Reason: s.missingAppender.Error(), Err: s.missingAppender}
	}
	var x any
	switch {
	case v.CanAddr():
		x = v.Addr().Interface()
	case s.appendsByValue:
		x = v.Interface()
	default:
		p := reflect.New(s.typ)
		p.Elem().Set(v)
		x = p.Interface()
	}
	out, err := x.(Appender).AppendTDL(dst)
	if err != nil {
		return nil, customEncodeError(err)
	}
	if len(out) <= len(dst) {
		return nil, unencodable("AppendTDL of %s appended nothing", s.typ)
	}
	if unsafe.SliceData(out) != unsafe.SliceData(dst) && !bytes.HasPrefix(out, dst) {
		return nil, unencodable("AppendTDL of %s did not append to what it was given", s.typ)
	}
	if rest, err := skip(out[len(dst):], r); err != nil || len(rest) > 0 {
		return nil, unencodable("AppendTDL of %s did not append one whole value", s.typ)
	}
	return out, nil
}

func (s *customShape) decode(b []byte, v reflect.Value, _ room) ([]byte, error) {
	if !s.decodes {
		return nil, &DecodeError{Err: s.missingDecoder, left: len(b)}
	}
	rest, err := v.Addr().Interface().(Decoder).DecodeTDL(b)
	if err != nil {
		return nil, customDecodeError(err, b)
	}
	if len(rest) >= len(b) {
		return nil, wrongly(b, "a value", "a DecodeTDL of "+s.typ.String()+" that read nothing")
	}
	return rest, nil
}
