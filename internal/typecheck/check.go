package typecheck

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tinylib/msgp/msgp"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/tdl"
)

// Checker checks the arguments of one package's tasks. It is safe for concurrent use.
type Checker struct{ tasks map[string]*task }

type task struct {
	params  []param
	unknown bool // the description says nothing of parameters
}

type param struct {
	name string
	typ  *typ
}

// New makes a checker of a description. A nil one describes nothing.
func New(d *tdl.Description) *Checker {
	c := &Checker{tasks: map[string]*task{}}
	if d == nil {
		return c
	}
	n := notation{definitions: d.Types, named: map[string]*typ{}}
	for i := range d.Tasks {
		described := &d.Tasks[i]
		t := &task{unknown: described.Params == nil}
		for _, p := range described.Params {
			t.params = append(t.params, param{p.Name, n.parse(p.Type)})
		}
		c.tasks[described.Name] = t
	}
	return c
}

// Error says which argument is not what its task takes.
type Error struct {
	Task string

	// Position is the argument's, from 1. 0: it is about their number.
	Position int

	Param string // the parameter's name, "" if it has none
	Type  string // the parameter's type, as the description writes it

	Path string // the place in the argument, such as [3].price; "" is the argument itself
	Want string // what must be there
	Got  string // what is there, as JSON, cut if it is long
}

func (e *Error) Error() string {
	if e.Position == 0 {
		return fmt.Sprintf("expected %s, got %s", e.Want, e.Got)
	}
	where := "argument " + strconv.Itoa(e.Position)
	if e.Param != "" {
		where += " (" + e.Param + ")"
	}
	if e.Path != "" {
		where += ", at " + e.Path
	}
	return fmt.Sprintf("%s: expected %s, got %s", where, e.Want, e.Got)
}

// Check reports, as an *[Error], the first of a task's arguments that the task would
// refuse; each is one msgpack value. A task that is not described takes all.
func (c *Checker) Check(name string, args [][]byte) error {
	t, ok := c.tasks[name]
	if !ok || t.unknown {
		return nil
	}
	if len(args) != len(t.params) {
		return &Error{Task: name, Want: t.count(), Got: strconv.Itoa(len(args))}
	}
	for i, arg := range args {
		p := t.params[i]
		w := walk{}
		if w.check(p.typ, arg, maxNesting, maxDepth) == nil && w.fault != nil {
			e := w.fault
			slices.Reverse(w.path)
			e.Task, e.Position, e.Param, e.Type = name, i+1, p.name, p.typ.text
			e.Path = strings.TrimPrefix(strings.Join(w.path, ""), ".")
			return e
		}
	}
	return nil
}

// count is how many arguments a task takes.
func (t *task) count() string {
	if len(t.params) == 0 {
		return "no arguments"
	}
	var list []string
	for _, p := range t.params {
		text := p.typ.text
		if p.name != "" {
			text = p.name + ": " + text
		}
		list = append(list, text)
	}
	plural := "s"
	if len(list) == 1 {
		plural = ""
	}
	return fmt.Sprintf("%d argument%s (%s)", len(list), plural, strings.Join(list, ", "))
}

// maxNesting is how deep a value is looked into: as deep as decoders go, and as a
// few thousand enums go, which they do not count.
const maxNesting = 4096

// walk goes once through an argument. Where fault is nil although check returned nil,
// the argument is not for this package to judge.
type walk struct {
	fault *Error
	path  []string // to the fault, from the inside out
}

// wrong is the end of a walk: b does not begin with what is wanted.
func (w *walk) wrong(b []byte, want string) []byte {
	w.fault = &Error{Want: want, Got: show(b)}
	return nil
}

// in adds a step to the path if the walk ended in a fault below.
func (w *walk) in(rest []byte, step func() string) []byte {
	if rest == nil && w.fault != nil {
		w.path = append(w.path, step())
	}
	return rest
}

// check returns what follows the value at the front of b, which is never nil, or nil
// if the walk has ended. It goes down at most depth levels, and through at most hops
// types that take no bytes.
func (w *walk) check(t *typ, b []byte, depth, hops int) []byte {
	if len(b) == 0 || depth == 0 || hops == 0 {
		return nil
	}
	form := msgp.NextType(b)
	if form == msgp.InvalidType || form == msgp.ExtensionType {
		return nil
	}
	switch t.kind {
	case kindBool:
		if form != msgp.BoolType {
			return w.wrong(b, t.text)
		}
	case kindInt, kindUint:
		if !isInteger(form) {
			return w.wrong(b, t.text)
		}
		if !t.holds(b) {
			return w.wrong(b, t.text+" ("+t.limits()+")")
		}
	case kindFloat:
		if !isInteger(form) && form != msgp.Float64Type && form != msgp.Float32Type {
			return w.wrong(b, t.text)
		}
	case kindString:
		if form != msgp.StrType && form != msgp.BinType {
			return w.wrong(b, t.text)
		}
	case kindUnit:
		if form != msgp.NilType {
			return w.wrong(b, "null")
		}
	case kindOption:
		if form != msgp.NilType {
			rest := w.check(t.elems[0], b, depth, hops-1)
			if w.fault != nil && len(w.path) == 0 && !strings.HasSuffix(w.fault.Want, orNull) {
				w.fault.Want += orNull
			}
			return rest
		}
	case kindNewtype:
		return w.check(t.elems[0], b, depth, hops-1)
	case kindList, kindArray, kindTuple:
		return w.sequence(t, b, form, depth)
	case kindStruct:
		return w.structure(t, b, form, depth)
	case kindMap:
		return w.mapping(t, b, form, depth)
	case kindEnum:
		return w.enum(t, b, form, depth)
	}
	return after(b)
}

const orNull = " or null"

// after is what follows the value at the front of b; nil if it is no whole value.
func after(b []byte) []byte {
	rest, err := msgpack.Skip(b)
	if err != nil {
		return nil
	}
	return notNil(rest)
}

func notNil(rest []byte) []byte {
	if rest == nil {
		return []byte{}
	}
	return rest
}

func isInteger(form msgp.Type) bool { return form == msgp.IntType || form == msgp.UintType }

// holds reports whether the integer at the front of b fits. One that is cut short does.
func (t *typ) holds(b []byte) bool {
	u, _, err := msgp.ReadUint64Bytes(b)
	if err == nil {
		if t.kind == kindUint {
			return u>>(t.bits-1) <= 1
		}
		return u>>(t.bits-1) == 0
	}
	i, _, err := msgp.ReadInt64Bytes(b)
	if err != nil {
		return true
	}
	return t.kind == kindInt && i>>(t.bits-1) >= -1
}

// limits are what an integer may be.
func (t *typ) limits() string {
	if t.kind == kindUint {
		return fmt.Sprintf("0 to %d", ^uint64(0)>>(64-t.bits))
	}
	most := int64(^uint64(0) >> (65 - t.bits))
	return fmt.Sprintf("%d to %d", -most-1, most)
}

// sequence is a list, an array or a tuple. Bin is the elements as bytes: whoever sends
// it knows why.
func (w *walk) sequence(t *typ, b []byte, form msgp.Type, depth int) []byte {
	if form == msgp.BinType {
		return after(b)
	}
	if form != msgp.ArrayType {
		return w.wrong(b, t.described())
	}
	return w.elements(t, b, depth)
}

// elements walks through the array at the front of b.
func (w *walk) elements(t *typ, b []byte, depth int) []byte {
	count, rest, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return nil
	}
	want := uint64(len(t.elems))
	if t.kind == kindArray {
		want = t.length
	}
	if t.kind != kindList && uint64(count) != want {
		return w.wrong(b, fmt.Sprintf("%s (an array of %d)", t.described(), want))
	}
	rest = notNil(rest)
	for i := range count {
		elem := t.elems[0]
		if t.kind == kindTuple || t.kind == kindStruct {
			elem = t.elems[i]
		}
		rest = w.in(w.check(elem, rest, depth-1, maxDepth), func() string {
			if t.kind == kindStruct {
				return "." + t.names[i]
			}
			return "[" + strconv.Itoa(int(i)) + "]"
		})
		if rest == nil {
			return nil
		}
	}
	return rest
}

// structure is a struct, as an array of its fields or as a map by their names or
// indices.
func (w *walk) structure(t *typ, b []byte, form msgp.Type, depth int) []byte {
	switch {
	case form == msgp.BinType, form == msgp.NilType && len(t.elems) == 0:
		return after(b)
	case form == msgp.ArrayType:
		return w.elements(t, b, depth)
	case form != msgp.MapType:
		return w.wrong(b, t.described())
	}
	count, rest, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return nil
	}
	rest = notNil(rest)
	seen := make(map[int]bool, len(t.elems))
	for range count {
		key := rest
		i, found, ok := t.member(key)
		if !ok {
			return nil
		}
		if rest = after(key); rest == nil {
			return nil
		}
		if !found {
			if rest = after(rest); rest == nil {
				return nil
			}
			continue
		}
		if seen[i] {
			return w.wrong(b, fmt.Sprintf("%s with field %s once", t.described(), t.names[i]))
		}
		seen[i] = true
		rest = w.in(w.check(t.elems[i], rest, depth-1, maxDepth), func() string { return "." + t.names[i] })
		if rest == nil {
			return nil
		}
	}
	for i, elem := range t.elems {
		if !seen[i] && !elem.optional() {
			return w.wrong(b, fmt.Sprintf("%s with field %s", t.described(), t.names[i]))
		}
	}
	return rest
}

// member finds the field or variant that the key at the front of b names, by its name
// or index. It is not ok if the key is neither.
func (t *typ) member(b []byte) (i int, found, ok bool) {
	var name []byte
	var err error
	switch msgp.NextType(b) {
	case msgp.StrType:
		name, _, err = msgp.ReadStringZC(b)
	case msgp.BinType:
		name, _, err = msgp.ReadBytesZC(b)
	case msgp.IntType, msgp.UintType:
		at, _, err := msgp.ReadUint64Bytes(b)
		return int(min(at, uint64(len(t.elems)))), at < uint64(len(t.elems)), err == nil
	default:
		return 0, false, false
	}
	i, found = t.index[string(name)]
	return i, found, err == nil
}

// mapping is a map.
func (w *walk) mapping(t *typ, b []byte, form msgp.Type, depth int) []byte {
	if form != msgp.MapType {
		return w.wrong(b, t.described())
	}
	count, rest, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return nil
	}
	rest = notNil(rest)
	for range count {
		key := rest
		if rest = w.in(w.check(t.elems[0], key, depth-1, maxDepth), func() string { return "[key]" }); rest == nil {
			return nil
		}
		step := func() string { return "[" + show(key) + "]" }
		if rest = w.in(w.check(t.elems[1], rest, depth-1, maxDepth), step); rest == nil {
			return nil
		}
	}
	return rest
}

// enum is a variant's name or index, alone or as the only key of a map to its value.
func (w *walk) enum(t *typ, b []byte, form msgp.Type, depth int) []byte {
	key, entry := b, form == msgp.MapType
	if entry {
		count, rest, err := msgp.ReadMapHeaderBytes(b)
		if err != nil {
			return nil
		}
		if count != 1 {
			return w.wrong(b, t.described())
		}
		key = rest
	}
	i, found, ok := t.member(key)
	if !ok || !found {
		if !ok && entry {
			return nil
		}
		return w.wrong(b, t.described())
	}
	elem := t.elems[i]
	rest := after(key)
	switch {
	case rest == nil:
		return nil
	case elem == nil && entry:
		elem = &typ{kind: kindUnit}
	case elem == nil, !entry && elem.kind == kindUnit:
		return rest
	case !entry:
		return w.wrong(b, fmt.Sprintf(`{"%s": %s}`, t.names[i], elem.text))
	}
	return w.in(w.check(elem, rest, depth-1, maxDepth), func() string { return "." + t.names[i] })
}

// described is the type's text and, if that is a name, what it stands for.
func (t *typ) described() string {
	if is := t.definition(); is != t.text {
		return clip(t.text + ", which is " + is)
	}
	return clip(t.text)
}

// show is the value at the front of b, for a message.
func show(b []byte) string {
	text, _, err := msgpack.AppendJSON(nil, b)
	if err != nil {
		return "what is no value"
	}
	return clip(string(text))
}

// clip cuts a text that would flood a line.
func clip(text string) string {
	const limit = 100 // bytes
	if len(text) <= limit {
		return text
	}
	cut := limit
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "..."
}
