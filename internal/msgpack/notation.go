package msgpack

import (
	"fmt"
	"reflect"
	"strings"
)

// Notation collects the definitions of the named types that the notations of
// types refer to. The zero Notation is ready to use.
//
//	Go                                 notation
//	int8..int64, uint8..uint64         int8..int64, uint8..uint64; int is int64, uint is uint64
//	float32, float64                   float, double
//	bool, string, any, [Unit]          bool, string, any, unit
//	[]T, [N]T, map[K]V, *T             List<T>, Array<T, N>, Map<K, V>, Option<T>
//	named type                         the notation of what it is, if it is none of the next line
//	named struct, [Variants], own code its name, defined in Types
//	struct                             struct{a: int64, b: string}
//	struct that embeds [Tuple]         Tuple<A, B>
//	struct that embeds [Enum]          enum{A, B: int64}
//	struct that embeds own code        opaque
//
// The last four lines are for structs without a name. The notation follows the
// codec: fields have their names on the wire, and those of embedded structs
// stand where the codec writes them.
type Notation struct {
	// Types are the definitions, by the names that the notations use. A name
	// is the Go type's without its package; the second type of that name, and
	// one with a name that has a meaning here already, gets its package's name
	// before it, and the next one its package's path. What comes first is
	// what is met first.
	Types map[string]Definition

	names map[reflect.Type]string
	open  map[reflect.Type]bool // named types whose notation is being made
}

// Definition is what a named type is.
type Definition struct {
	// Kind is "struct", "tuple", "enum", "opaque" (a type with its own
	// encoding) or "newtype": another named type that contains itself, such as
	// type Tree []Tree. A newtype has what it is as its only field.
	Kind     string   `json:"kind"`
	Fields   []Member `json:"fields,omitempty"`   // those of a tuple or newtype have no names
	Variants []Member `json:"variants,omitempty"` // of an enum
}

// Member is a field or a variant. A variant without a value has no type.
type Member struct {
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"`
}

// Of returns t's notation and adds to n.Types what it refers to. The error is a
// [*TypeError], as [CodecOf] gives it; nothing is added then.
func (n *Notation) Of(t reflect.Type) (string, error) {
	c, err := CodecOf(t)
	if err != nil {
		return "", err
	}
	if n.names == nil {
		n.names, n.open = map[reflect.Type]string{}, map[reflect.Type]bool{}
	}
	if n.Types == nil {
		n.Types = map[string]Definition{}
	}
	return n.of(c), nil
}

func (n *Notation) of(c *Codec) string {
	t := c.typ
	if name, ok := n.names[t]; ok {
		return name
	}
	if t.PkgPath() == "" { // predeclared, or without a name
		return c.notation(n, t)
	}
	if n.open[t] {
		return n.name(t) // it contains itself, so it must have a name
	}
	n.open[t] = true
	text := c.notation(n, t)
	delete(n.open, t)
	if name, ok := n.names[t]; ok && name != text {
		n.Types[name] = Definition{Kind: "newtype", Fields: []Member{{Type: text}}}
		return name
	}
	return text
}

// reserved are the words of the notation itself.
var reserved = map[string]bool{
	"bool": true, "string": true, "float": true, "double": true, "unit": true, "any": true, "opaque": true,
	"int8": true, "int16": true, "int32": true, "int64": true, "uint8": true, "uint16": true, "uint32": true, "uint64": true,
	"List": true, "Array": true, "Map": true, "Option": true, "Tuple": true,
}

// name gives t the first name that is free, and keeps it for t's definition.
func (n *Notation) name(t reflect.Type) string {
	full := t.PkgPath() + "." + t.Name()
	name := shorten(full, ".")
	for i := 0; n.taken(name); i++ {
		switch i {
		case 0:
			name = shorten(t.String(), "/")
		case 1:
			name = shorten(full, "")
		default: // types of two functions may have the same name and package
			name = fmt.Sprintf("%s#%d", shorten(full, ""), i)
		}
	}
	n.names[t] = name
	n.Types[name] = Definition{}
	return name
}

// shorten cuts off what ends in cut from the front of each name in name, which
// has several names if the type is generic: Pair[int,github.com/a/b.Key]. It
// also takes away the numbers that the compiler puts after types declared inside
// of functions.
func shorten(name, cut string) string {
	var s strings.Builder
	for name != "" {
		word, after := name, ""
		if end := strings.IndexAny(name, " []{}(),;*<\""); end >= 0 {
			word, after = name[:end], name[end:]
		}
		word, _, _ = strings.Cut(word, "·")
		if i := strings.LastIndex(word, cut); cut != "" && i >= 0 {
			word = word[i+len(cut):]
		}
		s.WriteString(word)
		s.WriteString(after[:min(1, len(after))])
		name = after[min(1, len(after)):]
	}
	return s.String()
}

func (n *Notation) taken(name string) bool {
	_, defined := n.Types[name]
	return defined || reserved[name]
}

// define returns the name of t, which is defined by define when t is met first.
// It is empty if t has none.
func (n *Notation) define(t reflect.Type, define func() Definition) string {
	if t.Name() == "" {
		return ""
	}
	name := n.name(t) // before its fields, which may refer to it
	n.Types[name] = define()
	return name
}

// members are fields or variants; those of tuples without their names.
func (n *Notation) members(fields []field, named bool) []Member {
	var list []Member
	for i := range fields {
		var m Member
		if named {
			m.Name = fields[i].name
		}
		if fields[i].codec != nil {
			m.Type = n.of(fields[i].codec)
		}
		list = append(list, m)
	}
	return list
}

// joinMembers is the notation of members in a type without a name.
func joinMembers(list []Member) string {
	var s strings.Builder
	for i, m := range list {
		if i > 0 {
			s.WriteString(", ")
		}
		s.WriteString(m.Name)
		if m.Name != "" && m.Type != "" {
			s.WriteString(": ")
		}
		s.WriteString(m.Type)
	}
	return s.String()
}

func (boolShape) notation(*Notation, reflect.Type) string    { return "bool" }
func (float32Shape) notation(*Notation, reflect.Type) string { return "float" }
func (float64Shape) notation(*Notation, reflect.Type) string { return "double" }
func (stringShape) notation(*Notation, reflect.Type) string  { return "string" }
func (unitShape) notation(*Notation, reflect.Type) string    { return "unit" }
func (anyShape) notation(*Notation, reflect.Type) string     { return "any" }

func (intShape) notation(_ *Notation, t reflect.Type) string {
	return fmt.Sprintf("int%d", t.Bits())
}

func (uintShape) notation(_ *Notation, t reflect.Type) string {
	return fmt.Sprintf("uint%d", t.Bits())
}

func (s *optionShape) notation(n *Notation, _ reflect.Type) string {
	return "Option<" + n.of(s.elem) + ">"
}

func (s *sliceShape) notation(n *Notation, _ reflect.Type) string {
	return "List<" + n.of(s.elem) + ">"
}

func (*numbers[T]) notation(n *Notation, t reflect.Type) string {
	elem, _ := CodecOf(t.Elem()) // was compiled with the list's
	return "List<" + n.of(elem) + ">"
}

func (bytesShape) notation(*Notation, reflect.Type) string { return "List<uint8>" }

func (s *arrayShape) notation(n *Notation, _ reflect.Type) string {
	return fmt.Sprintf("Array<%s, %d>", n.of(s.elem), s.length)
}

func (s *mapShape) notation(n *Notation, _ reflect.Type) string {
	key := n.of(s.key) // first, for the order of names
	return "Map<" + key + ", " + n.of(s.elem) + ">"
}

func (s *structShape) notation(n *Notation, t reflect.Type) string {
	kind := "struct"
	if s.tuple {
		kind = "tuple"
	}
	define := func() Definition { return Definition{Kind: kind, Fields: n.members(s.fields, !s.tuple)} }
	if name := n.define(t, define); name != "" {
		return name
	}
	if s.tuple {
		return "Tuple<" + joinMembers(define().Fields) + ">"
	}
	return "struct{" + joinMembers(define().Fields) + "}"
}

func (unitStructShape) notation(n *Notation, t reflect.Type) string {
	if name := n.define(t, func() Definition { return Definition{Kind: "struct"} }); name != "" {
		return name
	}
	return "struct{}"
}

func (s *enumShape) notation(n *Notation, t reflect.Type) string {
	define := func() Definition { return Definition{Kind: "enum", Variants: n.members(s.fields, true)} }
	if name := n.define(t, define); name != "" {
		return name
	}
	return "enum{" + joinMembers(define().Variants) + "}"
}

func (s *stringEnumShape) notation(n *Notation, t reflect.Type) string {
	return n.define(t, func() Definition {
		d := Definition{Kind: "enum"}
		for _, variant := range s.names.list {
			d.Variants = append(d.Variants, Member{Name: variant})
		}
		return d
	})
}

func (*customShape) notation(n *Notation, t reflect.Type) string {
	if name := n.define(t, func() Definition { return Definition{Kind: "opaque"} }); name != "" {
		return name
	}
	return "opaque"
}
