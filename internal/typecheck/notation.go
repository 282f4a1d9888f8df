package typecheck

import (
	"strconv"
	"strings"

	"github.com/spider-go/spider/tdl"
)

// kind is what a type is made like.
type kind int

const (
	kindAny kind = iota // also what cannot be read, and what has its own encoding
	kindBool
	kindInt
	kindUint
	kindFloat
	kindString
	kindUnit
	kindList    // of elems[0]
	kindArray   // length times elems[0]
	kindMap     // from elems[0] to elems[1]
	kindOption  // of elems[0]
	kindTuple   // of elems
	kindStruct  // of elems, by names
	kindEnum    // of elems, by names; nil for a variant without a value
	kindNewtype // elems[0], under another name
)

// typ is one type. A recursive one contains itself. It is immutable once New returns.
type typ struct {
	kind   kind
	text   string // as it is written, or its name
	bits   int    // of integers
	length uint64
	elems  []*typ
	names  []string
	index  map[string]int // of names
}

// maxDepth bounds how deep a notation may nest before it counts as any.
const maxDepth = 100

// notation reads types as the description writes them.
type notation struct {
	definitions map[string]tdl.TypeDefinition
	named       map[string]*typ
}

// leaves are the types that are one word.
var leaves = map[string]typ{
	"bool": {kind: kindBool}, "string": {kind: kindString}, "unit": {kind: kindUnit},
	"float": {kind: kindFloat}, "double": {kind: kindFloat},
	"int8": {kind: kindInt, bits: 8}, "int16": {kind: kindInt, bits: 16},
	"int32": {kind: kindInt, bits: 32}, "int64": {kind: kindInt, bits: 64},
	"uint8": {kind: kindUint, bits: 8}, "uint16": {kind: kindUint, bits: 16},
	"uint32": {kind: kindUint, bits: 32}, "uint64": {kind: kindUint, bits: 64},
	"any": {kind: kindAny}, "opaque": {kind: kindAny},
}

// parse reads a whole notation; what it cannot read is any.
func (n *notation) parse(text string) *typ {
	t, rest, ok := n.parseType(text, maxDepth)
	if !ok || rest != "" {
		return &typ{kind: kindAny, text: text}
	}
	return t
}

// parseType reads the type at the front of text, inside of maxDepth-depth others.
func (n *notation) parseType(text string, depth int) (t *typ, rest string, ok bool) {
	if depth == 0 {
		return nil, "", false
	}
	if name := n.nameAt(text); name != "" {
		return n.define(name), text[len(name):], true
	}
	end := strings.IndexAny(text, "<{, >}")
	if end < 0 {
		end = len(text)
	}
	word := text[:end]
	rest = text[end:]
	if leaf, found := leaves[word]; found {
		leaf.text = word
		return &leaf, rest, true
	}
	t = &typ{}
	switch word {
	case "List", "Option":
		t.kind = kindList
		if word == "Option" {
			t.kind = kindOption
		}
		t.elems, rest, ok = n.parseElems(rest, depth)
		ok = ok && len(t.elems) == 1
	case "Map":
		t.kind = kindMap
		t.elems, rest, ok = n.parseElems(rest, depth)
		ok = ok && len(t.elems) == 2
	case "Tuple":
		t.kind = kindTuple
		t.elems, rest, ok = n.parseElems(rest, depth)
	case "Array":
		t.kind = kindArray
		rest, ok = n.parseArray(t, rest, depth)
	case "struct", "enum":
		t.kind = kindStruct
		if word == "enum" {
			t.kind = kindEnum
		}
		rest, ok = n.parseMembers(t, rest, depth)
	}
	t.text = text[:len(text)-len(rest)]
	return t, rest, ok
}

// nameAt is the longest defined name at the front of text. Names may hold anything,
// such as Pair[int,Key].
func (n *notation) nameAt(text string) (longest string) {
	for name := range n.definitions {
		if len(name) > len(longest) && strings.HasPrefix(text, name) {
			if rest := text[len(name):]; rest == "" || strings.IndexByte(",>}", rest[0]) >= 0 {
				longest = name
			}
		}
	}
	return longest
}

// parseElems reads <A, B, ...>.
func (n *notation) parseElems(text string, depth int) (elems []*typ, rest string, ok bool) {
	if rest, ok = strings.CutPrefix(text, "<"); !ok {
		return nil, "", false
	}
	if after, ok := strings.CutPrefix(rest, ">"); ok {
		return nil, after, true
	}
	for {
		var elem *typ
		if elem, rest, ok = n.parseType(rest, depth-1); !ok {
			return nil, "", false
		}
		elems = append(elems, elem)
		if after, ok := strings.CutPrefix(rest, ">"); ok {
			return elems, after, true
		}
		if rest, ok = strings.CutPrefix(rest, ", "); !ok {
			return nil, "", false
		}
	}
}

// parseArray reads <T, N>.
func (n *notation) parseArray(t *typ, text string, depth int) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(text, "<"); !ok {
		return "", false
	}
	var elem *typ
	if elem, rest, ok = n.parseType(rest, depth-1); !ok {
		return "", false
	}
	if rest, ok = strings.CutPrefix(rest, ", "); !ok {
		return "", false
	}
	length, rest, ok := strings.Cut(rest, ">")
	if !ok {
		return "", false
	}
	var err error
	t.elems = []*typ{elem}
	t.length, err = strconv.ParseUint(length, 10, 64)
	return rest, err == nil
}

// parseMembers reads {a: A, b: B} or, for an enum, {A, B: T}.
func (n *notation) parseMembers(t *typ, text string, depth int) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(text, "{"); !ok {
		return "", false
	}
	if after, ok := strings.CutPrefix(rest, "}"); ok {
		return after, t.setNames(nil)
	}
	var names []string
	for {
		end := strings.IndexAny(rest, ":,}")
		if end <= 0 {
			return "", false
		}
		names = append(names, rest[:end])
		rest = rest[end:]
		var elem *typ
		if after, ok := strings.CutPrefix(rest, ": "); ok {
			if elem, rest, ok = n.parseType(after, depth-1); !ok {
				return "", false
			}
		} else if t.kind != kindEnum {
			return "", false
		}
		t.elems = append(t.elems, elem)
		if after, ok := strings.CutPrefix(rest, "}"); ok {
			return after, t.setNames(names)
		}
		if rest, ok = strings.CutPrefix(rest, ", "); !ok {
			return "", false
		}
	}
}

// setNames is false if two of them are the same, or one is missing: then it is not
// known what the author meant.
func (t *typ) setNames(names []string) bool {
	t.names = names
	t.index = make(map[string]int, len(names))
	for i, name := range names {
		if _, twice := t.index[name]; twice || name == "" {
			return false
		}
		t.index[name] = i
	}
	return true
}

// define is the type by a name that is defined.
func (n *notation) define(name string) *typ {
	if t, ok := n.named[name]; ok {
		return t // perhaps still incomplete: a recursive type
	}
	t := &typ{text: name}
	n.named[name] = t
	d := n.definitions[name]
	members, named := d.Fields, d.Kind != "tuple" && d.Kind != "newtype"
	switch d.Kind {
	case "struct":
		t.kind = kindStruct
	case "tuple":
		t.kind = kindTuple
	case "newtype":
		t.kind = kindNewtype
	case "enum":
		t.kind, members = kindEnum, d.Variants
	}
	var names []string
	for _, m := range members {
		var elem *typ
		if m.Type != "" {
			elem = n.parse(m.Type)
		} else if t.kind != kindEnum {
			elem = &typ{kind: kindAny}
		}
		t.elems = append(t.elems, elem)
		names = append(names, m.Name)
	}
	if t.kind == kindNewtype && len(t.elems) != 1 || named && !t.setNames(names) {
		t.kind = kindAny
	}
	return t
}

// definition is what stands behind the name of a type, for messages.
func (t *typ) definition() string {
	if t.kind == kindNewtype {
		return t.elems[0].text
	}
	if t.kind != kindStruct && t.kind != kindEnum && t.kind != kindTuple {
		return t.text
	}
	var members []string
	for i, elem := range t.elems {
		member := ""
		if t.names != nil {
			member = t.names[i]
		}
		if elem != nil && member != "" {
			member += ": "
		}
		if elem != nil {
			member += elem.text
		}
		members = append(members, member)
	}
	list := strings.Join(members, ", ")
	switch t.kind {
	case kindStruct:
		return "struct{" + list + "}"
	case kindEnum:
		return "enum{" + list + "}"
	}
	return "Tuple<" + list + ">"
}

// optional reports whether a missing field of this type is none.
func (t *typ) optional() bool {
	for range maxDepth {
		switch t.kind {
		case kindOption:
			return true
		case kindAny:
			return t.text != "any" // perhaps, where it is not known what it is
		case kindNewtype:
			t = t.elems[0]
		default:
			return false
		}
	}
	return true
}
