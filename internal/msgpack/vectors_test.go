package msgpack

import (
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

type (
	vecTaskID struct {
		Enum
		Index   *uint64
		Commit  *Unit
		Cleanup *Unit
	}
	vecContext struct {
		JobID           uint64
		TaskID          vecTaskID
		TaskInstanceID  uint64
		ResourceGroupID uint64
		Outputs         *[]byte `tdl:"serialized_task_graph_outputs"`
	}
	vecTdlError struct {
		Enum
		TaskNotFound         *string
		DeserializationError *string
		SerializationError   *string
		ExecutionError       *string
		InvalidTaskContext   *string
		Custom               *string
	}
	vecExecutorError struct {
		Enum
		InvalidLibrary                     *string
		IncompatibleVersion                *vecVersions
		DuplicatePackage                   *string
		InvalidUtf8                        *string
		TaskError                          *vecTdlError
		PackageInitError                   *vecTdlError
		ErrorPayloadDeserializationFailure *string
	}
	vecVersions struct{ PkgMajor, PkgMinor, PkgPatch, ExeMajor, ExeMinor, ExePatch uint32 }
	vecN        uint32
)

// vectorValues are the Go values of the golden vectors "msgpack/...". The
// families named by a number (u64/255, TdlError/Custom) are in vectorValue.
func vectorValues() map[string]any {
	s := func(n int) string { return strings.Repeat("a", n) }
	ones := func(n int) []uint64 {
		list := make([]uint64, n)
		for i := range list {
			list[i] = 1
		}
		return list
	}
	inner := vecInner64{1, -2.5}
	context := func(id vecTaskID, out *[]byte) vecContext {
		return vecContext{0x1122334455667788, id, 7, 42, out}
	}
	index := func(n uint64) vecTaskID { return vecTaskID{Index: &n} }
	commit, cleanup := vecTaskID{Commit: &Unit{}}, vecTaskID{Cleanup: &Unit{}}
	return map[string]any{
		"TaskContext/Index(0)":      context(index(0), nil),
		"TaskContext/Index(300)":    context(index(300), nil),
		"TaskContext/Commit[1,2,3]": context(commit, &[]byte{0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 2, 1, 0, 0, 0, 3}),
		"TaskContext/Commit[]":      context(commit, &[]byte{0, 0, 0, 0, 0}),
		"TaskContext/Commit_bytes>=128": context(commit, &[]byte{
			0, 1, 127, 128, 255,
		}),
		"TaskContext/Cleanup":               context(cleanup, nil),
		"TaskContext/zero_ids":              vecContext{TaskID: index(0)},
		"ExecutorError/IncompatibleVersion": vecExecutorError{IncompatibleVersion: &vecVersions{9, 8, 7, 0, 1, 0}},
		"f32/1.5":                           float32(1.5),
		"f64/1.5":                           1.5,
		"f64/-0.0":                          math.Copysign(0, -1),
		"f64/NaN":                           math.Float64frombits(0x7ff8 << 48),
		"f64/inf":                           math.Inf(1),
		"bool/true":                         true,
		"bool/false":                        false,
		"char/a":                            "a",
		"unit":                              Unit{},
		"String/empty":                      "",
		"String/hi":                         "hi",
		"String/utf8":                       "hé😀",
		"String/31":                         s(31),
		"String/32":                         s(32),
		"String/255":                        s(255),
		"String/256":                        s(256),
		"Vec<u8>/[0,127,128,255]":           []byte{0, 127, 128, 255},
		"Vec<u8>/empty":                     []byte{},
		"&[u8]":                             []byte{1, 2},
		"Vec<i8>":                           []int8{-1, 1},
		"Vec<String>":                       []string{"a", "bc"},
		"Vec<u64>x15":                       ones(15),
		"Vec<u64>x16":                       ones(16),
		"Vec<bool>x0":                       []bool{},
		"HashMap<String,i64>{a:1}":          map[string]int64{"a": 1},
		"HashMap<String,i64>{}":             map[string]int64{},
		"BTreeMap<i32,String>":              map[int32]string{2: "y", -1: "x"},
		"Option<u64>/None":                  (*uint64)(nil),
		"Option<u64>/Some(5)":               ptr(uint64(5)),
		"struct/Inner":                      inner,
		"struct/Outer":                      vecOuter{"o", -7, vecInner64{1, -2.5}, []vecInner64{{1, -2.5}}, nil},
		"struct/UnitStruct":                 zooPing{},
		"struct/Newtype(u32)":               vecN(5),
		"struct/TupleStruct":                zooTuple2{V: 5, S: "x"},
		"tuple/(u64,String)":                zooTuple2{V: 5, S: "x"},
		"tuple/(u64,)":                      zooTuple1{V: 5},
		"array/[u8;3]":                      [3]byte{1, 2, 3},
		"enum/Unit":                         zooEnum{Unit: &Unit{}},
		"enum/New(5)":                       zooEnum{New: ptr(uint64(5))},
		"enum/Tup(5,true)":                  zooEnum{Tup: &zooTup{V: 5, B: true}},
	}
}

func ptr[T any](x T) *T { return &x }

// variantOf sets one string variant of an error enum.
func variantOf[T any](name string) (x T) {
	reflect.ValueOf(&x).Elem().FieldByName(name).Set(reflect.ValueOf(ptr("msg")))
	return x
}

func vectorValue(name string) (any, bool) {
	if x, ok := vectorValues()[name]; ok {
		return x, true
	}
	kind, text, _ := strings.Cut(name, "/")
	u, _ := strconv.ParseUint(text, 10, 64)
	i, _ := strconv.ParseInt(text, 10, 64)
	switch kind {
	case "u64":
		return u, true
	case "u8":
		return uint8(u), true
	case "i64":
		return i, true
	case "i32":
		return int32(i), true
	case "i8":
		return int8(i), true
	case "TdlError":
		return variantOf[vecTdlError](text), true
	case "ExecutorError":
		if in, ok := strings.CutPrefix(text, "TaskError("); ok {
			return vecExecutorError{TaskError: ptr(variantOf[vecTdlError](strings.TrimSuffix(in, ")")))}, true
		}
		return variantOf[vecExecutorError](text), true
	}
	return nil, false
}

func TestVectors(t *testing.T) {
	t.Parallel()
	decode := map[string]struct {
		target any
		want   any // nil: refused
	}{
		"TaskId/int-keyed map":     {new(vecTaskID), vecTaskID{Index: ptr(uint64(5))}},
		"TaskId/array":             {new(vecTaskID), nil},
		"TaskContext/6 elements":   {new(vecContext), nil},
		"TaskContext/negative id":  {new(vecContext), nil},
		"u64/from i64 form d3":     {new(uint64), uint64(5)},
		"u64/from string":          {new(uint64), nil},
		"i64/from u64 max":         {new(int64), nil},
		"f32/from f64":             {new(float32), float32(1.5)},
		"String/invalid utf8":      {new(string), nil},
		"Vec<u64>/truncated":       {new([]uint64), nil},
		"struct/from map":          {new(vecInnerMap), vecInnerMap{1.5, 2}},
		"struct/Empty from nil":    {new(zooEmpty), nil},
		"TdlError/unknown variant": {new(vecTdlError), nil},
	}
	text, err := os.ReadFile("../../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Name, Hex, Note string }
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	encoded, decoded := 0, 0
	for _, v := range vectors {
		b, err := hex.DecodeString(v.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if name, ok := strings.CutPrefix(v.Name, "msgpack/"); ok {
			encoded++
			x, known := vectorValue(name)
			if !known {
				t.Errorf("%s: no value for this vector", v.Name)
				continue
			}
			got, err := Append(nil, x)
			if err != nil || hex.EncodeToString(got) != v.Hex {
				t.Errorf("%s: got %x, %v; want %s", v.Name, got, err, v.Hex)
			}
			back := reflect.New(reflect.TypeOf(x))
			rest, err := Decode(b, back.Interface())
			if err != nil || len(rest) != 0 {
				t.Errorf("%s: decoding: %v, %d bytes left", v.Name, err, len(rest))
			} else if d := cmp.Diff(x, back.Elem().Interface(), cmpopts.EquateNaNs()); d != "" {
				t.Errorf("%s: decoded (-want +got):\n%s", v.Name, d)
			}
		}
		if name, ok := strings.CutPrefix(v.Name, "decode/"); ok {
			decoded++
			c, known := decode[name]
			if !known {
				t.Errorf("%s: no case for this vector", v.Name)
				continue
			}
			if accepted := strings.HasPrefix(v.Note, "accepted"); accepted != (c.want != nil) {
				t.Errorf("%s: the vector says %q", v.Name, v.Note)
			}
			_, err := Decode(b, c.target)
			if c.want == nil {
				if err == nil {
					t.Errorf("%s: accepted", v.Name)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", v.Name, err)
			} else if d := cmp.Diff(c.want, reflect.ValueOf(c.target).Elem().Interface()); d != "" {
				t.Errorf("%s (-want +got):\n%s", v.Name, d)
			}
		}
	}
	if encoded < 80 || decoded < 13 {
		t.Errorf("only %d and %d vectors", encoded, decoded)
	}
}

type (
	vecInner64 struct{ Re, Im float64 }
	vecOuter   struct {
		Name  string
		N     int32
		Inner vecInner64
		List  []vecInner64
		Opt   *uint64
	}
	vecInnerMap struct{ Re, Im float64 }
)
