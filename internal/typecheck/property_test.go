package typecheck

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/tinylib/msgp/msgp"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/tdl"
)

// Types that have names, among them the recursive kinds.
type (
	point  struct{ X, Y int32 }
	circle struct {
		Center point
		Radius *float64
	}
	shape struct {
		msgpack.Enum
		Dot    *msgpack.Unit
		Circle *circle
		Size   **uint8
		Group  *[]shape
		Marker *marker
	}
	level  string
	marker struct{ msgpack.Unit }
	couple struct {
		msgpack.Tuple
		A uint8
		B string
	}
	tree  []tree
	chain struct {
		Value any
		Next  *chain
	}
	forest map[string]forest
	stamp  struct{ s string }
)

func (level) EnumVariants() []string { return []string{"Low", "High"} }

func (s stamp) AppendTDL(dst []byte) ([]byte, error) { return msgpack.Append(dst, s.s) }
func (s *stamp) DecodeTDL(b []byte) ([]byte, error)  { return msgpack.Decode(b, &s.s) }

var named = []reflect.Type{
	reflect.TypeFor[point](), reflect.TypeFor[circle](), reflect.TypeFor[shape](), reflect.TypeFor[level](),
	reflect.TypeFor[marker](), reflect.TypeFor[couple](), reflect.TypeFor[tree](), reflect.TypeFor[chain](),
	reflect.TypeFor[forest](), reflect.TypeFor[stamp](),
}

var plain = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[msgpack.Unit](), reflect.TypeFor[any](),
	reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](), reflect.TypeFor[int64](), reflect.TypeFor[int](),
	reflect.TypeFor[uint8](), reflect.TypeFor[uint16](), reflect.TypeFor[uint32](), reflect.TypeFor[uint64](),
	reflect.TypeFor[float32](), reflect.TypeFor[float64](), reflect.TypeFor[[]byte](), reflect.TypeFor[[]string](),
}

var keys = []reflect.Type{
	reflect.TypeFor[string](), reflect.TypeFor[string](), reflect.TypeFor[level](), reflect.TypeFor[int16](), reflect.TypeFor[couple](), reflect.TypeFor[bool](),
}

type maker struct {
	*rand.Rand

	// foreign is set when a value was made that no JSON stands for.
	foreign bool
}

func pick[T any](m *maker, list []T) T { return list[m.IntN(len(list))] }

// typ makes a type with at most so many types around another one.
func (m *maker) typ(depth int) reflect.Type {
	if depth == 0 || m.IntN(6) == 0 {
		if m.IntN(2) == 0 {
			return pick(m, named)
		}
		return pick(m, plain)
	}
	var fields []reflect.StructField
	add := func(optional bool) {
		t := m.typ(depth - 1)
		if optional {
			t = reflect.PointerTo(t)
		}
		fields = append(fields, reflect.StructField{Name: fmt.Sprint("F", len(fields)), Type: t})
	}
	switch m.IntN(7) {
	case 0:
		return reflect.SliceOf(m.typ(depth - 1))
	case 1:
		return reflect.ArrayOf(m.IntN(4), m.typ(depth-1))
	case 2:
		return reflect.MapOf(pick(m, keys), m.typ(depth-1))
	case 3:
		return reflect.PointerTo(m.typ(depth - 1))
	case 4:
		for range m.IntN(4) {
			add(false)
		}
	case 5:
		fields = append(fields, reflect.StructField{Name: "Tuple", Type: reflect.TypeFor[msgpack.Tuple](), Anonymous: true})
		for range m.IntN(4) {
			add(false)
		}
	case 6:
		fields = append(fields, reflect.StructField{Name: "Enum", Type: reflect.TypeFor[msgpack.Enum](), Anonymous: true})
		for range 1 + m.IntN(4) {
			add(true)
		}
	}
	return reflect.StructOf(fields)
}

var words = []string{"", "a", "x", "y", "Low", "High", "Dot", "f0", "F1", "center", "radius", "☃"}

// anything is a value without regard to any type.
func (m *maker) anything(b []byte, depth int) []byte {
	kinds := 8
	if depth <= 0 {
		kinds = 5
	}
	switch m.IntN(kinds) {
	case 0:
		return msgp.AppendNil(b)
	case 1:
		return msgp.AppendBool(b, m.IntN(2) == 0)
	case 2:
		return m.integer(b)
	case 3:
		return msgp.AppendFloat64(b, pick(m, []float64{0, -1.5, 3, math.Inf(1), 1e300}))
	case 4:
		return msgp.AppendString(b, pick(m, words))
	case 5, 6:
		n := m.IntN(4)
		b = msgp.AppendArrayHeader(b, uint32(n))
		for range n {
			b = m.anything(b, depth-1)
		}
		return b
	}
	n := m.IntN(4)
	b = msgp.AppendMapHeader(b, uint32(n))
	for range n {
		b = m.anything(msgp.AppendString(b, pick(m, words)), depth-1)
	}
	return b
}

// integer is as JSON's are encoded: unsigned if not negative.
func (m *maker) integer(b []byte) []byte {
	u := m.Uint64() >> m.IntN(64)
	if m.IntN(2) == 0 {
		u = uint64(1)<<m.IntN(64) - uint64(m.IntN(2))
	}
	if i := int64(u); i > 0 && m.IntN(2) == 0 {
		return msgp.AppendInt64(b, -i)
	}
	return msgp.AppendUint64(b, u)
}

// value is a value of a type; mostly.
func (m *maker) value(b []byte, t *typ, depth int) []byte {
	if depth <= 0 || m.IntN(25) == 0 {
		return m.anything(b, 2)
	}
	if m.IntN(40) == 0 {
		m.foreign = true
		switch m.IntN(3) {
		case 0:
			return msgp.AppendBytes(b, []byte("\x00\x01ab")[:m.IntN(5)])
		case 1:
			return msgp.AppendFloat32(b, 1.5)
		}
		return msgp.AppendInt64(b, int64(m.IntN(200))) // in a signed form
	}
	elements := func(n int, elem func(i int) *typ) []byte {
		b = msgp.AppendArrayHeader(b, uint32(n))
		for i := range n {
			b = m.value(b, elem(i), depth-1)
		}
		return b
	}
	switch t.kind {
	case kindBool:
		return msgp.AppendBool(b, m.IntN(2) == 0)
	case kindInt:
		// Around where the type ends.
		i := int64(m.Uint64()) >> (64 - t.bits)
		if m.IntN(4) == 0 {
			i = pick(m, []int64{-1, 0})<<(t.bits-1) - int64(m.IntN(2)) + int64(m.IntN(2))
		}
		if i >= 0 {
			return msgp.AppendUint64(b, uint64(i))
		}
		return msgp.AppendInt64(b, i)
	case kindUint:
		if m.IntN(4) == 0 {
			return m.integer(b)
		}
		return msgp.AppendUint64(b, m.Uint64()>>(64-t.bits))
	case kindFloat:
		if m.IntN(2) == 0 {
			return m.integer(b)
		}
		return msgp.AppendFloat64(b, m.NormFloat64())
	case kindString:
		return msgp.AppendString(b, pick(m, words))
	case kindUnit:
		return msgp.AppendNil(b)
	case kindList:
		return elements(m.IntN(4), func(int) *typ { return t.elems[0] })
	case kindArray:
		n := int(t.length)
		if m.IntN(10) == 0 {
			n = m.IntN(4)
		}
		return elements(n, func(int) *typ { return t.elems[0] })
	case kindMap:
		n := m.IntN(3)
		b = msgp.AppendMapHeader(b, uint32(n))
		for range n {
			if m.IntN(3) == 0 {
				m.foreign = true
				b = m.value(b, t.elems[0], depth-1)
			} else {
				b = msgp.AppendString(b, pick(m, words))
			}
			b = m.value(b, t.elems[1], depth-1)
		}
		return b
	case kindOption:
		if m.IntN(3) == 0 {
			return msgp.AppendNil(b)
		}
		return m.value(b, t.elems[0], depth-1)
	case kindNewtype:
		return m.value(b, t.elems[0], depth-1)
	case kindTuple:
		return elements(len(t.elems), func(i int) *typ { return t.elems[i] })
	case kindStruct:
		if m.IntN(2) == 0 {
			n := len(t.elems)
			if m.IntN(10) == 0 && n > 0 {
				n--
			}
			return elements(n, func(i int) *typ { return t.elems[i] })
		}
		return m.fields(b, t, depth)
	case kindEnum:
		i := m.IntN(len(t.elems))
		elem := t.elems[i]
		if m.IntN(10) == 0 {
			m.foreign = true // an index as a key
			b = msgp.AppendUint64(msgp.AppendMapHeader(b, 1), uint64(i))
		} else if elem == nil && m.IntN(2) == 0 || m.IntN(15) == 0 {
			if m.IntN(4) == 0 {
				return msgp.AppendUint64(b, uint64(m.IntN(len(t.elems)+1)))
			}
			return msgp.AppendString(b, t.names[i])
		} else {
			b = msgp.AppendString(msgp.AppendMapHeader(b, 1), t.names[i])
		}
		if elem == nil {
			return msgp.AppendNil(b)
		}
		return m.value(b, elem, depth-1)
	}
	return m.anything(b, 3)
}

// fields is a struct as a map: in any order, with some left out, some twice, and some
// that it has not.
func (m *maker) fields(b []byte, t *typ, depth int) []byte {
	var list []int
	for _, i := range m.Perm(len(t.elems)) {
		if m.IntN(12) > 0 {
			list = append(list, i)
		}
		if m.IntN(30) == 0 {
			list = append(list, i)
		}
	}
	if m.IntN(4) == 0 {
		list = append(list, -1)
	}
	b = msgp.AppendMapHeader(b, uint32(len(list)))
	for _, i := range list {
		switch {
		case i < 0:
			b = m.anything(msgp.AppendString(b, "unknown"), 2)
			continue
		case m.IntN(30) == 0:
			m.foreign = true
			b = msgp.AppendUint64(b, uint64(i))
		default:
			b = msgp.AppendString(b, t.names[i])
		}
		b = m.value(b, t.elems[i], depth-1)
	}
	return b
}

// notes is the description of a task with one parameter of a Go type, as tdl makes it.
func notes(t testing.TB, typ reflect.Type) *tdl.Description {
	t.Helper()
	var n msgpack.Notation
	text, err := n.Of(typ)
	if err != nil {
		t.Fatal(err)
	}
	d := &tdl.Description{Types: map[string]tdl.TypeDefinition{},
		Tasks: []tdl.TaskDescription{{Name: "t", Params: []tdl.TypeMember{{Type: text}}}}}
	for name, def := range n.Types {
		members := func(list []msgpack.Member) (out []tdl.TypeMember) {
			for _, m := range list {
				out = append(out, tdl.TypeMember(m))
			}
			return out
		}
		d.Types[name] = tdl.TypeDefinition{Kind: def.Kind, Fields: members(def.Fields), Variants: members(def.Variants)}
	}
	return d
}

// vague reports whether a type has in it what this package cannot judge: its own
// encoding, or a struct without fields, of which there are two kinds in one notation.
func vague(t *typ, seen map[*typ]bool) bool {
	if t == nil || seen[t] {
		return false
	}
	seen[t] = true
	if t.kind == kindAny && t.text != "any" || t.kind == kindStruct && len(t.elems) == 0 {
		return true
	}
	for _, elem := range t.elems {
		if vague(elem, seen) {
			return true
		}
	}
	return false
}

var propertySeed = flag.Uint64("seed", 0, "also test the properties with this seed, which a failure told")

// What the decoder accepts passes. What JSON can say and the decoder refuses does
// not, unless it is in a type with its own encoding.
func TestAgreesWithTheDecoder(t *testing.T) {
	t.Parallel()
	seeds := []uint64{1, rand.Uint64()}
	if *propertySeed != 0 {
		seeds = append(seeds, *propertySeed)
	}
	accepted, refused := 0, 0
	for _, seed := range seeds {
		for i := range uint64(400) {
			m := &maker{Rand: rand.New(rand.NewPCG(seed, i))}
			goType := m.typ(m.IntN(5))
			checker := New(notes(t, goType))
			param := checker.tasks["t"].params[0].typ
			unsure := vague(param, map[*typ]bool{})
			for range 40 {
				m.foreign = false
				b := m.value(nil, param, 8)
				rest, err := msgpack.DecodeValue(b, reflect.New(goType).Elem())
				if err == nil && len(rest) > 0 {
					t.Fatalf("-seed %d: the test made more than a value: %x", seed, b)
				}
				fault := checker.Check("t", [][]byte{b})
				switch {
				case err == nil && fault != nil:
					t.Fatalf("-seed %d: %v (%s): %x decodes, but: %v", seed, goType, param.text, b, fault)
				case err != nil && fault == nil && !m.foreign && !unsure:
					text, _, _ := msgpack.AppendJSON(nil, b)
					t.Fatalf("-seed %d: %v (%s): %s passes, but: %v", seed, goType, param.text, text, err)
				case fault == nil:
					accepted++
				default:
					refused++
				}
			}
		}
	}
	if accepted < 1000 || refused < 1000 {
		t.Errorf("%d accepted and %d refused show little", accepted, refused)
	}
}

func FuzzCheck(f *testing.F) {
	for _, seed := range []struct{ typ, def, value string }{
		{"List<Point>", "struct{x: int32}", `[[1],{"x":2}]`},
		{"Point", "Option<Point>", `{"a":[null]}`},
		{"Array<Map<string, Point>, 2>", "enum{A, B: Tuple<>}", `[{"A":1}]`},
	} {
		value, err := msgpack.FromJSON(nil, []byte(seed.value))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed.typ, "newtype", seed.def, value)
	}
	f.Fuzz(func(t *testing.T, typ, kind, def string, value []byte) {
		members := []tdl.TypeMember{{Name: "x", Type: def}, {Name: "y", Type: typ}}
		if kind == "newtype" {
			members = members[:1]
		}
		c := New(&tdl.Description{
			Types: map[string]tdl.TypeDefinition{"Point": {Kind: kind, Fields: members, Variants: members}},
			Tasks: []tdl.TaskDescription{{Name: "t", Params: []tdl.TypeMember{{Type: typ}}}},
		})
		if err := c.Check("t", [][]byte{value}); err != nil && len(err.Error()) > 100_000 {
			t.Fatalf("%d bytes", len(err.Error()))
		}
	})
}
