package msgpack

import (
	"encoding/json"
	"errors"
	"image"
	"maps"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type (
	notePoint struct{ X, Y int32 }
	noteShape struct {
		Enum
		Dot    *Unit
		Circle *float64
		Line   *notePair[notePoint, []Point] `tdl:"segment"`
	}
	notePair[A, B any] struct {
		Tuple
		First  A
		Second B
	}
	noteDegrees float64
	noteTree    []noteTree
	noteForest  map[string][]noteForest
	noteLoop    []struct{ Next noteLoop }
	noteEven    []noteOdd
	noteOdd     []noteEven
	noteMaybe   *notePoint
	Point       struct{ A, B bool }
	double      struct{ A float64 }
	List        struct {
		Value any
		Next  *List
	}
	noteLevel string
)

func (noteLevel) EnumVariants() []string { return []string{"Low", "High"} }

// Types of the same name and the same package as others.
func localPoint() reflect.Type {
	type Point struct{ C int8 }
	return reflect.TypeFor[Point]()
}

func otherLocalPoint() reflect.Type {
	type Point struct{ D *Point }
	return reflect.TypeFor[Point]()
}

func lastLocalPoint() reflect.Type {
	type Point struct{ E string }
	return reflect.TypeFor[Point]()
}

func TestNotation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[bool](), "bool"},
		{reflect.TypeFor[int](), "int64"},
		{reflect.TypeFor[int8](), "int8"},
		{reflect.TypeFor[int16](), "int16"},
		{reflect.TypeFor[int32](), "int32"},
		{reflect.TypeFor[int64](), "int64"},
		{reflect.TypeFor[uint](), "uint64"},
		{reflect.TypeFor[uint8](), "uint8"},
		{reflect.TypeFor[uint16](), "uint16"},
		{reflect.TypeFor[uint32](), "uint32"},
		{reflect.TypeFor[uint64](), "uint64"},
		{reflect.TypeFor[float32](), "float"},
		{reflect.TypeFor[float64](), "double"},
		{reflect.TypeFor[string](), "string"},
		{reflect.TypeFor[Unit](), "unit"},
		{reflect.TypeFor[any](), "any"},
		{reflect.TypeFor[[]byte](), "List<uint8>"},
		{reflect.TypeFor[[]int](), "List<int64>"},
		{reflect.TypeFor[[]noteDegrees](), "List<double>"},
		{reflect.TypeFor[[]string](), "List<string>"},
		{reflect.TypeFor[[]bool](), "List<bool>"},
		{reflect.TypeFor[[]float32](), "List<float>"},
		{reflect.TypeFor[[]Unit](), "List<unit>"},
		{reflect.TypeFor[[3][]any](), "Array<List<any>, 3>"},
		{reflect.TypeFor[map[string]*int8](), "Map<string, Option<int8>>"},
		{reflect.TypeFor[**uint16](), "Option<Option<uint16>>"},
		{reflect.TypeFor[struct{}](), "struct{}"},
		{reflect.TypeFor[struct{ Unit }](), "struct{}"},
		{reflect.TypeFor[struct {
			A     int
			JobID string
			C     bool   `tdl:"see"`
			D     func() `tdl:"-"`
		}](), "struct{a: int64, job_id: string, see: bool}"},
		{reflect.TypeFor[struct {
			Tuple
			A int8
			B []string
		}](), "Tuple<int8, List<string>>"},
		{reflect.TypeFor[struct {
			Enum
			A *Unit
			B **int8
		}](), "enum{A, B: Option<int8>}"},
		{reflect.TypeFor[struct{ celsius }](), "opaque"},
		{reflect.TypeFor[noteDegrees](), "double"},
	} {
		var n Notation
		if got, err := n.Of(c.typ); err != nil || got != c.want || len(n.Types) > 0 {
			t.Errorf("%v: got %s, %v, %v; want %s", c.typ, got, n.Types, err, c.want)
		}
	}
}

func TestNotationOfNamedTypes(t *testing.T) {
	t.Parallel()
	point := `"notePoint":{"kind":"struct","fields":[{"name":"x","type":"int32"},{"name":"y","type":"int32"}]}`
	for _, c := range []struct {
		typ  reflect.Type
		want string
		defs string // Types as JSON, without the outer braces
	}{
		{reflect.TypeFor[notePoint](), "notePoint", point},
		{reflect.TypeFor[noteMaybe](), "Option<notePoint>", point},
		{reflect.TypeFor[map[noteLevel][]notePoint](), "Map<noteLevel, List<notePoint>>",
			`"noteLevel":{"kind":"enum","variants":[{"name":"Low"},{"name":"High"}]},` + point},
		{reflect.TypeFor[zooTuple2](), "zooTuple2", `"zooTuple2":{"kind":"tuple","fields":[{"type":"uint64"},{"type":"string"}]}`},
		{reflect.TypeFor[zooPing](), "zooPing", `"zooPing":{"kind":"struct"}`},
		{reflect.TypeFor[zooEmpty](), "zooEmpty", `"zooEmpty":{"kind":"struct"}`},
		{reflect.TypeFor[[]celsius](), "List<celsius>", `"celsius":{"kind":"opaque"}`},
		{reflect.TypeFor[zooRec](), "zooRec",
			`"zooRec":{"kind":"struct","fields":[{"name":"kids","type":"List<zooRec>"},{"name":"next","type":"Option<zooRec>"}]}`},
		{reflect.TypeFor[struct{ Kid *zooRec }](), "struct{kid: Option<zooRec>}",
			`"zooRec":{"kind":"struct","fields":[{"name":"kids","type":"List<zooRec>"},{"name":"next","type":"Option<zooRec>"}]}`},
		{reflect.TypeFor[embedAll](), "embedAll", `"EmbedTuple":{"kind":"tuple","fields":[{"type":"int8"},{"type":"int8"}]},` +
			`"embedAll":{"kind":"struct","fields":[{"name":"first","type":"int8"},{"name":"job_id","type":"uint64"},` +
			`{"name":"remark","type":"string"},{"name":"low","type":"int8"},{"name":"named","type":"embedBase"},` +
			`{"name":"embed_tuple","type":"EmbedTuple"},{"name":"last","type":"int8"}]},` +
			`"embedBase":{"kind":"struct","fields":[{"name":"job_id","type":"uint64"},{"name":"remark","type":"string"}]}`},

		// Types that are no structs and contain themselves.
		{reflect.TypeFor[noteTree](), "noteTree", `"noteTree":{"kind":"newtype","fields":[{"type":"List<noteTree>"}]}`},
		{reflect.TypeFor[[]noteForest](), "List<noteForest>",
			`"noteForest":{"kind":"newtype","fields":[{"type":"Map<string, List<noteForest>>"}]}`},
		{reflect.TypeFor[noteLoop](), "noteLoop", `"noteLoop":{"kind":"newtype","fields":[{"type":"List<struct{next: noteLoop}>"}]}`},
		{reflect.TypeFor[noteEven](), "noteEven", `"noteEven":{"kind":"newtype","fields":[{"type":"List<List<noteEven>>"}]}`},
		{reflect.TypeFor[noteOdd](), "noteOdd", `"noteOdd":{"kind":"newtype","fields":[{"type":"List<List<noteOdd>>"}]}`},

		// Names that need more than their first form.
		{reflect.TypeFor[double](), "msgpack.double", `"msgpack.double":{"kind":"struct","fields":[{"name":"a","type":"double"}]}`},
		{reflect.TypeFor[List](), "msgpack.List", `"msgpack.List":{"kind":"struct","fields":[` +
			`{"name":"value","type":"any"},{"name":"next","type":"Option<msgpack.List>"}]}`},
		{reflect.TypeFor[notePair[int, string]](), "notePair[int,string]",
			`"notePair[int,string]":{"kind":"tuple","fields":[{"type":"int64"},{"type":"string"}]}`},
		{reflect.TypeFor[notePair[notePair[Unit, *notePoint], map[noteLevel]any]](), "notePair[notePair[Unit,*notePoint],map[noteLevel]interface {}]",
			`"noteLevel":{"kind":"enum","variants":[{"name":"Low"},{"name":"High"}]},` + point + `,` +
				`"notePair[Unit,*notePoint]":{"kind":"tuple","fields":[{"type":"unit"},{"type":"Option<notePoint>"}]},` +
				`"notePair[notePair[Unit,*notePoint],map[noteLevel]interface {}]":{"kind":"tuple","fields":[` +
				`{"type":"notePair[Unit,*notePoint]"},{"type":"Map<noteLevel, any>"}]}`},
	} {
		var n Notation
		got, err := n.Of(c.typ)
		if err != nil || got != c.want {
			t.Errorf("%v: got %s, %v; want %s", c.typ, got, err, c.want)
		}
		var want map[string]Definition
		if err := json.Unmarshal([]byte("{"+c.defs+"}"), &want); err != nil {
			t.Fatalf("%v: %v", c.typ, err)
		}
		if d := cmp.Diff(want, n.Types); d != "" {
			t.Errorf("%v (-want +got):\n%s", c.typ, d)
		}
		once := maps.Clone(n.Types)
		if again, err := n.Of(c.typ); err != nil || again != got || !cmp.Equal(n.Types, once) {
			t.Errorf("%v, once more: got %s, %v; want %s", c.typ, again, err, got)
		}
	}
}

func TestNotationIsJSON(t *testing.T) {
	t.Parallel()
	type noteShape struct {
		Enum
		Dot    *Unit
		Circle *float64
	}
	var n Notation
	name, err := n.Of(reflect.TypeFor[noteShape]())
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(n.Types[name])
	if want := `{"kind":"enum","variants":[{"name":"Dot"},{"name":"Circle","type":"double"}]}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}

// TestNotationNames adds types with the same names to one Notation.
func TestNotationNames(t *testing.T) {
	t.Parallel()
	type local struct{ A int8 }
	const path = "github.com/spider-go/spider/internal/msgpack."
	var n Notation
	for _, c := range []struct {
		typ  reflect.Type
		want string
	}{
		{reflect.TypeFor[noteShape](), "noteShape"}, // has Point in it
		{reflect.TypeFor[image.Point](), "image.Point"},
		{localPoint(), "msgpack.Point"},
		{otherLocalPoint(), path + "Point"},
		{lastLocalPoint(), path + "Point#2"},
		{reflect.TypeFor[Point](), "Point"},
		{localPoint(), "msgpack.Point"},
		{reflect.TypeFor[notePair[bool, image.Point]](), "notePair[bool,Point]"},
		{reflect.TypeFor[notePair[bool, Point]](), "msgpack.notePair[bool,msgpack.Point]"},
		{reflect.TypeFor[notePair[bool, *Point]](), "notePair[bool,*Point]"},
		{reflect.TypeFor[notePair[bool, *local]](), "notePair[bool,*local]"},
	} {
		if got, err := n.Of(c.typ); err != nil || got != c.want {
			t.Errorf("%v: got %s, %v; want %s", c.typ, got, err, c.want)
		}
	}
	for name, d := range n.Types {
		if d.Kind == "" {
			t.Errorf("%s has no definition", name)
		}
	}
}

func TestNotationError(t *testing.T) {
	t.Parallel()
	var n Notation
	for _, typ := range []reflect.Type{nil, reflect.TypeFor[badOrder]()} {
		var e *TypeError
		if _, err := n.Of(typ); !errors.As(err, &e) || len(n.Types) > 0 {
			t.Errorf("%v: %v, %v", typ, err, slices.Collect(maps.Keys(n.Types)))
		}
	}
}
