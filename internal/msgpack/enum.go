package msgpack

import (
	"reflect"
	"strings"

	"github.com/tinylib/msgp/msgp"
)

// enumShape is a struct that embeds [Enum], in serde's externally tagged form:
// the name alone for a unit variant, else a map of one entry from the name to
// the value. That map does not count as nesting.
type enumShape struct {
	fields []field
	names  names
}

func (s *enumShape) encode(dst []byte, v reflect.Value, r room) ([]byte, error) {
	set := -1
	for i := range s.fields {
		if s.fields[i].of(v).IsNil() {
			continue
		}
		if set >= 0 {
			return nil, unencodable("enum with two variants set, %s and %s", s.fields[set].name, s.fields[i].name)
		}
		set = i
	}
	if set < 0 {
		return nil, unencodable("enum without a variant set: one of %s", strings.Join(s.names.list, ", "))
	}
	f := &s.fields[set]
	if f.codec == nil {
		return msgp.AppendString(dst, f.name), nil
	}
	if r.enums == 0 {
		return nil, unencodable("more than %d nested pointers, interfaces and enums", maxEnums)
	}
	r.enums--
	dst = msgp.AppendString(msgp.AppendMapHeader(dst, 1), f.name)
	dst, err := f.codec.encode(dst, f.of(v).Elem(), r)
	if err != nil {
		return nil, inField(err, f.name)
	}
	return dst, nil
}

func (s *enumShape) decode(b []byte, v reflect.Value, r room) ([]byte, error) {
	i, value, err := s.names.variant(b, &r)
	if err != nil {
		return nil, err
	}
	f := &s.fields[i]
	entry := formOf(b) == formMap
	var p reflect.Value
	rest := value
	switch {
	case f.codec == nil:
		if rest, err = unitVariant(f.name, value, entry); err != nil {
			return nil, err
		}
		p = reflect.New(unitType)
	case !entry:
		return nil, wrongly(b, "a map from "+f.name+" to its value", "the name or index alone")
	default:
		p = reflect.New(f.codec.typ)
		if rest, err = f.codec.decode(value, p.Elem(), r); err != nil {
			return nil, inField(err, f.name)
		}
	}
	for j := range s.fields {
		s.fields[j].of(v).SetZero()
	}
	f.of(v).Set(p)
	return rest, nil
}

// variant reads the key of an enum, whether it stands alone or in a map of one
// entry, in which case its value follows.
func (n *names) variant(b []byte, r *room) (i int, rest []byte, err error) {
	key := b
	if formOf(b) == formMap {
		count, entry, e := msgp.ReadMapHeaderBytes(b)
		if e != nil || count != 1 {
			return 0, nil, wrong(b, "a variant or a map of one")
		}
		if r.enums == 0 {
			return 0, nil, tooManyEnums(b)
		}
		r.enums--
		key = entry
	}
	i, rest, err = n.find(key, "a variant's name or index")
	if err != nil {
		return 0, nil, err
	}
	if i < 0 {
		return 0, nil, wrongly(key, "one of "+strings.Join(n.list, ", "), "unknown variant "+strings.TrimPrefix(describe(key), "string "))
	}
	return i, rest, nil
}

// unitVariant reads what follows the key of a unit variant: nothing, or nil in
// the map form.
func unitVariant(name string, b []byte, entry bool) (rest []byte, err error) {
	if !entry {
		return b, nil
	}
	if formOf(b) != formNil {
		return nil, inField(wrong(b, "nil"), name)
	}
	return b[1:], nil
}

// stringEnumShape is a string type that implements [Variants].
type stringEnumShape struct{ names names }

func (s *stringEnumShape) encode(dst []byte, v reflect.Value, _ room) ([]byte, error) {
	if _, known := s.names.index[v.String()]; !known {
		return nil, unencodable("%s is not one of %s", quote([]byte(v.String())), strings.Join(s.names.list, ", "))
	}
	return msgp.AppendString(dst, v.String()), nil
}

func (s *stringEnumShape) decode(b []byte, v reflect.Value, r room) ([]byte, error) {
	i, rest, err := s.names.variant(b, &r)
	if err != nil {
		return nil, err
	}
	name := s.names.list[i]
	if rest, err = unitVariant(name, rest, formOf(b) == formMap); err != nil {
		return nil, err
	}
	v.SetString(name)
	return rest, nil
}
