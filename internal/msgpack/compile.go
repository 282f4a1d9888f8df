package msgpack

import (
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// compile builds the codec of t and of all types in it, and publishes them
// together once all are known to be sound.
func compile(t reflect.Type) (*Codec, error) {
	c := compiler{made: map[reflect.Type]*Codec{}}
	root := t.Name()
	if root == "" {
		root = "value"
	}
	codec := c.codec(t, root)
	for _, m := range c.maps {
		m.finish(&c)
	}
	if len(c.faults) > 0 {
		return nil, &TypeError{Type: t, Fields: c.faults}
	}
	for t, made := range c.made {
		codecs.LoadOrStore(t, made)
	}
	return codec, nil
}

type compiler struct {
	made   map[reflect.Type]*Codec
	maps   []pendingMap
	faults []string
}

// pendingMap is a map whose keys are looked at when all codecs have their
// shapes.
type pendingMap struct {
	shape *mapShape
	path  string
}

func (c *compiler) fault(path, format string, args ...any) {
	c.faults = append(c.faults, path+": "+fmt.Sprintf(format, args...))
}

func (c *compiler) codec(t reflect.Type, path string) *Codec {
	if done, ok := codecs.Load(t); ok {
		return done.(*Codec)
	}
	if made, ok := c.made[t]; ok {
		return made // perhaps still without its shape: a recursive type
	}
	codec := &Codec{typ: t}
	c.made[t] = codec
	codec.shape = c.shape(t, path)
	_, custom := codec.shape.(*customShape)
	codec.option = t.Kind() == reflect.Pointer
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64, reflect.Interface:
		codec.fromByte = true
	default:
		codec.fromByte = custom
	}
	if codec.shape == nil {
		delete(c.made, t) // so that every place it appears in is reported
	}
	return codec
}

// shape returns nil after it reported a fault.
func (c *compiler) shape(t reflect.Type, path string) shape {
	if t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface {
		if p := reflect.PointerTo(t); p.Implements(appenderType) || p.Implements(decoderType) {
			return newCustomShape(t)
		}
	}
	if t.Kind() != reflect.String && t.Kind() != reflect.Pointer && t.Kind() != reflect.Interface && reflect.PointerTo(t).Implements(variantsType) {
		c.fault(path, "%s lists variants, but is no string type", t)
		return nil
	}
	switch t.Kind() {
	case reflect.Bool:
		return boolShape{}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return intShape{want: t.Kind().String()}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return uintShape{want: t.Kind().String()}
	case reflect.Float32:
		return float32Shape{}
	case reflect.Float64:
		return float64Shape{}
	case reflect.String:
		return c.stringShape(t, path)
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return anyShape{typ: t}
		}
	case reflect.Pointer:
		return c.optionShape(t, path)
	case reflect.Slice:
		elem := c.codec(t.Elem(), path+"[]")
		switch elem.shape.(type) {
		case boolShape, intShape, uintShape, float32Shape, float64Shape, stringShape:
			return numbersOf(t.Elem().Kind())
		}
		return &sliceShape{elem: elem, none: reflect.MakeSlice(t, 0, 0)}
	case reflect.Array:
		return &arrayShape{length: t.Len(), elem: c.codec(t.Elem(), path+"[]")}
	case reflect.Map:
		m := &mapShape{typ: t, keys: reflect.SliceOf(t.Key()), values: reflect.SliceOf(t.Elem())}
		c.maps = append(c.maps, pendingMap{m, path})
		m.key = c.codec(t.Key(), path+"[key]")
		m.elem = c.codec(t.Elem(), path+"[]")
		return m
	case reflect.Struct:
		return c.structShape(t, path)
	}
	c.fault(path, "%s has no msgpack form", t)
	return nil
}

func (c *compiler) stringShape(t reflect.Type, path string) shape {
	if !reflect.PointerTo(t).Implements(variantsType) {
		return stringShape{}
	}
	list := reflect.New(t).Interface().(Variants).EnumVariants()
	if len(list) == 0 {
		c.fault(path, "%s has no variants", t)
	}
	c.distinct(list, path, "variant")
	return &stringEnumShape{names: newNames(list)}
}

func (c *compiler) optionShape(t reflect.Type, path string) shape {
	// A type such as "type P *P" would be decoded forever.
	seen := map[reflect.Type]bool{}
	for p := t; p.Kind() == reflect.Pointer; p = p.Elem() {
		if seen[p] {
			c.fault(path, "%s points to itself and has no msgpack form", t)
			return nil
		}
		seen[p] = true
	}
	return &optionShape{typ: t.Elem(), elem: c.codec(t.Elem(), path)}
}

func (c *compiler) structShape(t reflect.Type, path string) shape {
	if t == unitType {
		return unitShape{}
	}
	var tuple, enum, unit bool
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			tuple = tuple || f.Type == tupleType
			enum = enum || f.Type == enumType
			unit = unit || f.Type == unitType && f.Tag.Get("tdl") == ""
		}
	}
	if tuple && enum || tuple && unit || enum && unit {
		c.fault(path, "%s embeds more than one of Tuple, Enum and Unit", t)
		return nil
	}
	var fields []field
	if enum {
		fields = c.variants(t, path)
	} else {
		fields = c.fields(nil, t, nil, path)
	}
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	switch {
	case unit:
		if len(fields) > 0 {
			c.fault(path, "%s embeds Unit, so it cannot have fields", t)
		}
		return unitStructShape{}
	case enum:
		if len(fields) == 0 {
			c.fault(path, "%s has no variants", t)
		}
		c.distinct(list, path, "variant")
		return &enumShape{fields: fields, names: newNames(list)}
	}
	if !tuple {
		c.distinct(list, path, "field")
		if len(fields) == 0 && hidesAll(t) {
			// Such as time.Time, whose value would silently be lost.
			c.fault(path, "%s has no exported field, so nothing of it has a msgpack form", t)
		}
	}
	for i := range fields {
		f := &fields[i]
		f.leaf = leafOf(f.codec)
		for at, n := t, 0; n < len(f.index); n++ {
			inner := at.Field(f.index[n])
			f.offset += inner.Offset
			at = inner.Type
		}
	}
	return &structShape{fields: fields, names: newNames(list), tuple: tuple}
}

// hidesAll reports whether a struct has fields and none is exported, or left out by
// its tag.
func hidesAll(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.IsExported() || f.Tag.Get("tdl") == "-" || f.Anonymous {
			return false
		}
	}
	return t.NumField() > 0
}

func (c *compiler) distinct(list []string, path, what string) {
	seen := map[string]bool{}
	for _, name := range list {
		if name == "" || !utf8.ValidString(name) {
			c.fault(path, "a %s is named %q: a name is not empty, and UTF-8", what, name)
		}
		if seen[name] {
			c.fault(path, "two %ss are named %q", what, name)
		}
		seen[name] = true
	}
}

// tagName returns the name in a field's tag, or "".
func (c *compiler) tagName(f reflect.StructField, path string) string {
	name := f.Tag.Get("tdl")
	if strings.Contains(name, ",") {
		c.fault(path, "the tag %q is not a name or -", name)
	}
	return name
}

// fields appends the fields of t in order: its exported ones, and in the place
// of an embedded plain struct without a name in its tag that struct's. Embedded
// tuples, enums, unit structs, pointers and types with their own encoding are
// fields like any other.
func (c *compiler) fields(list []field, t reflect.Type, index []int, path string) []field {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("tdl")
		if tag == "-" || f.Anonymous && (f.Type == tupleType || f.Type == unitType && tag == "") {
			continue
		}
		at := append(append([]int(nil), index...), i)
		where := path + "." + f.Name
		if f.Anonymous && tag == "" && flattens(f.Type) {
			if hidesAll(f.Type) {
				c.fault(where, "the embedded %s has no exported field, so nothing of it has a msgpack form (a tag `tdl:\"-\"` leaves it out)", f.Type)
			}
			list = c.fields(list, f.Type, at, where)
			continue
		}
		if !f.IsExported() {
			if f.Anonymous && (f.Type.Kind() == reflect.Struct || f.Type.Kind() == reflect.Pointer) {
				c.fault(where, "the embedded %s is not exported, so it cannot be a field", f.Type)
			}
			continue
		}
		name := c.tagName(f, where)
		if name == "" {
			name = snakeCase(f.Name)
		}
		list = append(list, field{name: name, index: at, codec: c.codec(f.Type, where)})
	}
	return list
}

// flattens tells whether an embedded t stands for its fields.
func flattens(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || t == unitType {
		return false
	}
	if p := reflect.PointerTo(t); p.Implements(appenderType) || p.Implements(decoderType) {
		return false
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && (f.Type == tupleType || f.Type == enumType || f.Type == unitType && f.Tag.Get("tdl") == "") {
			return false
		}
	}
	return true
}

func (c *compiler) variants(t reflect.Type, path string) []field {
	var list []field
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Type == enumType || !f.IsExported() || f.Tag.Get("tdl") == "-" {
			continue
		}
		where := path + "." + f.Name
		name := c.tagName(f, where)
		if name == "" {
			name = f.Name
		}
		variant := field{name: name, index: []int{i}}
		switch {
		case f.Type.Kind() != reflect.Pointer:
			c.fault(where, "the variant's type %s is not a pointer", f.Type)
			continue
		case f.Type.Elem() != unitType:
			variant.codec = c.codec(f.Type.Elem(), where)
		}
		list = append(list, variant)
	}
	return list
}

func (m pendingMap) finish(c *compiler) {
	s := m.shape
	if s.key.shape == nil {
		return // already reported
	}
	if bad := badKey(s.key); bad != nil {
		c.fault(m.path, "%s compares by address and has no form in a map key", bad)
		return
	}
	s.compare = comparer(s.key)
	s.dynamic = s.compare == nil
}

// badKey returns the pointer type in a key, if there is one: two keys that are
// equal on the wire would be two keys in Go.
func badKey(c *Codec) reflect.Type {
	switch s := c.shape.(type) {
	case *optionShape, *enumShape:
		return c.typ
	case *arrayShape:
		return badKey(s.elem)
	case *structShape:
		for i := range s.fields {
			if bad := badKey(s.fields[i].codec); bad != nil {
				return bad
			}
		}
	}
	return nil
}
