package msgpack

import (
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

func TestSnakeCase(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"ID": "id", "JobID": "job_id", "HTTPServer": "http_server", "UserIDs": "user_ids", "URLsSeen": "urls_seen",
		"Re": "re", "X1": "x1", "ID2Name": "id2_name", "TaskInstanceID": "task_instance_id", "A_B": "a_b",
		"InvalidUtf8": "invalid_utf8", "Größe": "größe", "ABC": "abc", "AsIs": "as_is",
	} {
		if got := snakeCase(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

type (
	badOrder struct {
		Items  []badItem
		Done   chan int
		ByItem map[string]*badItem
		Skip   func() `tdl:"-"`
		hidden func()
	}
	badItem struct {
		Callback func()
		C        complex128
		Parent   *badOrder
	}
	badLoop *badLoop
	badEnum struct {
		Enum
		A uint64
		B *func()
	}
	noVariants struct{ Enum }
	badUnit    struct {
		Unit
		A int
	}
	badBoth struct {
		Tuple
		Enum
	}
	badNames struct {
		JobID int
		Job   int `tdl:"job_id"`
	}
	badTag struct {
		A int `tdl:"a,omitempty"`
	}
	badEmbed    struct{ hiddenTuple }
	hiddenTuple struct {
		Tuple
		A int
	}
	nobody string
)

func (nobody) EnumVariants() []string { return nil }

func TestTypeErrors(t *testing.T) {
	t.Parallel()
	_ = badOrder{hidden: nil}
	for _, c := range []struct {
		typ  reflect.Type
		want []string
	}{
		{reflect.TypeFor[badOrder](), []string{
			"badOrder.Items[].Callback: func() has no msgpack form",
			"badOrder.Items[].C: complex128 has no msgpack form",
			"badOrder.Done: chan int has no msgpack form",
		}},
		{reflect.TypeFor[[]func()](), []string{"value[]: func() has no msgpack form"}},
		{reflect.TypeFor[uintptr](), []string{"uintptr: uintptr has no msgpack form"}},
		{reflect.TypeFor[unsafe.Pointer](), []string{"Pointer: unsafe.Pointer has no msgpack form"}},
		{reflect.TypeFor[error](), []string{"error: error has no msgpack form"}},
		{reflect.TypeFor[badLoop](), []string{"badLoop: msgpack.badLoop points to itself and has no msgpack form"}},
		{reflect.TypeFor[map[*int]int](), []string{"value: *int compares by address and has no form in a map key"}},
		{reflect.TypeFor[map[[1]vecTaskID]int](), []string{"value: msgpack.vecTaskID compares by address and has no form in a map key"}},
		{reflect.TypeFor[badEnum](), []string{
			"badEnum.A: the variant's type uint64 is not a pointer",
			"badEnum.B: func() has no msgpack form",
		}},
		{reflect.TypeFor[noVariants](), []string{"noVariants: msgpack.noVariants has no variants"}},
		{reflect.TypeFor[badUnit](), []string{"badUnit: msgpack.badUnit embeds Unit, so it cannot have fields"}},
		{reflect.TypeFor[badBoth](), []string{"badBoth: msgpack.badBoth embeds more than one of Tuple, Enum and Unit"}},
		{reflect.TypeFor[badNames](), []string{`badNames: two fields are named "job_id"`}},
		{reflect.TypeFor[badTag](), []string{`badTag.A: the tag "a,omitempty" is not a name or -`}},
		{reflect.TypeFor[badEmbed](), []string{"badEmbed.hiddenTuple: the embedded msgpack.hiddenTuple is not exported, so it cannot be a field"}},
		{reflect.TypeFor[nobody](), []string{"nobody: msgpack.nobody has no variants"}},
		{reflect.TypeFor[time.Time](), []string{"Time: time.Time has no exported field, so nothing of it has a msgpack form"}},
		{reflect.TypeFor[struct {
			Name string
			time.Time
		}](), []string{`value.Time: the embedded time.Time has no exported field, so nothing of it has a msgpack form (a tag ` + "`tdl:\"-\"`" + ` leaves it out)`}},
		{nil, []string{"an untyped nil has no msgpack form"}},
	} {
		for range 2 { // a refusal is not cached as a success
			_, err := CodecOf(c.typ)
			var e *TypeError
			if !errors.As(err, &e) {
				t.Errorf("%v: got %v", c.typ, err)
			} else if d := cmp.Diff(c.want, e.Fields); d != "" {
				t.Errorf("%v (-want +got):\n%s", c.typ, d)
			}
		}
	}
	if _, err := Append(nil, func() {}); err == nil {
		t.Error("a func was encoded")
	}
	if _, err := Append(nil, []any{1, []any{func() {}}}); err == nil || err.Error() != "[1][0]: msgpack: value: func() has no msgpack form" {
		t.Errorf("a func in an any: %v", err)
	}
	for _, target := range []any{nil, 5, (*int)(nil)} {
		if _, err := Decode([]byte{1}, target); err == nil {
			t.Errorf("decoded into %T", target)
		}
	}
}

type (
	embedBase struct {
		JobID uint64
		Note  string `tdl:"remark"`
	}
	embedlower struct{ Low int8 }
	embedTuple struct {
		Tuple
		X, Y int8
	}
	embedAll struct {
		First int8
		EmbedBase
		embedlower
		Named embedBase `tdl:"named"`
		EmbedTuple
		Last int8
	}
	// Exported names, for embedding.
	EmbedBase  embedBase
	EmbedTuple embedTuple
)

func TestEmbedding(t *testing.T) {
	t.Parallel()
	x := embedAll{1, EmbedBase{2, "b"}, embedlower{3}, embedBase{4, "n"}, EmbedTuple{X: 5, Y: 6}, 7}
	b, err := Append(nil, x)
	if err != nil {
		t.Fatal(err)
	}
	text, _, err := AppendJSON(nil, b)
	if want := `[1,2,"b",3,[4,"n"],[5,6],7]`; err != nil || string(text) != want {
		t.Fatalf("got %s, %v; want %s", text, err, want)
	}
	var back embedAll
	if _, err := Decode(b, &back); err != nil || back != x {
		t.Errorf("got %+v, %v", back, err)
	}
	b, err = FromJSON(nil, []byte(`{"last":7,"low":3,"named":{"1":0,"remark":"n","job_id":4},"job_id":2,"embed_tuple":[5,6],"first":1,"remark":"b"}`))
	if err != nil {
		t.Fatal(err)
	}
	back = embedAll{}
	if _, err := Decode(b, &back); err != nil || back != x {
		t.Errorf("from map: got %+v, %v", back, err)
	}
}

func TestCodecIsSharedAndConcurrent(t *testing.T) {
	t.Parallel()
	type node struct {
		Name string
		Kids []*node
		By   map[string]node
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			x := node{"a", []*node{nil, {Name: "b"}}, map[string]node{"c": {Name: "c"}}}
			b, err := Append(nil, x)
			if err != nil {
				t.Error(err)
				return
			}
			var back node
			if _, err := Decode(b, &back); err != nil || back.Kids[1].Name != "b" || back.By["c"].Name != "c" {
				t.Errorf("got %+v, %v", back, err)
			}
		})
	}
	wg.Wait()
	a, _ := CodecOf(reflect.TypeFor[node]())
	b, _ := CodecOf(reflect.TypeFor[node]())
	if a == nil || a != b {
		t.Error("compiled twice")
	}
	defer func() {
		if recover() == nil {
			t.Error("a codec took a value of another type")
		}
	}()
	_, _ = a.Append(nil, reflect.ValueOf("text"))
}
