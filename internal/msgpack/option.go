package msgpack

import "reflect"

// optionShape is a pointer, Rust's Option: nil, or the bare value. Options of
// options collapse, as they do in serde: Some(None) reads back as None.
type optionShape struct {
	typ  reflect.Type // that is pointed to
	elem *Codec
}

func (s *optionShape) encode(dst []byte, v reflect.Value, r room) ([]byte, error) {
	if v.IsNil() {
		return append(dst, markNil), nil
	}
	// Counted, because with any in between pointers can form a cycle that
	// opens no array.
	if r.enums == 0 {
		return nil, unencodable("more than %d nested pointers, interfaces and enums", maxEnums)
	}
	r.enums--
	return s.elem.encode(dst, v.Elem(), r)
}

func (s *optionShape) decode(b []byte, v reflect.Value, r room) ([]byte, error) {
	if formOf(b) == formNil {
		v.SetZero()
		return b[1:], nil
	}
	p := reflect.New(s.typ)
	rest, err := s.elem.decode(b, p.Elem(), r)
	if err != nil {
		return nil, err
	}
	v.Set(p)
	return rest, nil
}
