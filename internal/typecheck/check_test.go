package typecheck

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/tdl"
)

// described makes a checker of a description's JSON.
func described(t testing.TB, text string) *Checker {
	t.Helper()
	var d tdl.Description
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return New(&d)
}

func encode(t testing.TB, args ...string) (values [][]byte) {
	t.Helper()
	for _, arg := range args {
		value, err := msgpack.FromJSON(nil, []byte(arg))
		if err != nil {
			t.Fatalf("%s: %v", arg, err)
		}
		values = append(values, value)
	}
	return values
}

const geometry = `{"describe":1,"name":"geometry","types":{
	"Point":{"kind":"struct","fields":[{"name":"x","type":"int32"},{"name":"y","type":"int32"},{"name":"label","type":"Option<string>"}]},
	"Shape":{"kind":"enum","variants":[{"name":"Dot"},{"name":"Circle","type":"double"},{"name":"Line","type":"Tuple<Point, Point>"}]},
	"Level":{"kind":"enum","variants":[{"name":"Low"},{"name":"High"}]},
	"Pair":{"kind":"tuple","fields":[{"type":"int8"},{"type":"string"}]},
	"Pair[int,Key]":{"kind":"tuple","fields":[{"type":"bool"},{"type":"bool"}]},
	"Tree":{"kind":"newtype","fields":[{"type":"List<Tree>"}]},
	"Loop":{"kind":"newtype","fields":[{"type":"Loop"}]},
	"Date":{"kind":"opaque"},
	"Nothing":{"kind":"struct"},
	"Odd":{"kind":"what"},
	"Twice":{"kind":"struct","fields":[{"name":"a","type":"bool"},{"name":"a","type":"bool"}]}
},"tasks":[{"name":"t","params":[{"name":"p","type":"TYPE"}],"results":[]}]}`

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ typ, arg, want string }{ // want "": it passes
		{"bool", "true", ""},
		{"bool", "0", "expected bool, got 0"},
		{"string", `"a"`, ""},
		{"string", "5", "expected string, got 5"},
		{"string", "null", "expected string, got null"},
		{"unit", "null", ""},
		{"unit", "[]", "expected null, got []"},
		{"any", `{"a":[1,null]}`, ""},

		{"int8", "-128", ""},
		{"int8", "127", ""},
		{"int8", "128", "expected int8 (-128 to 127), got 128"},
		{"int8", "-129", "expected int8 (-128 to 127), got -129"},
		{"int16", "-32769", "expected int16 (-32768 to 32767), got -32769"},
		{"int32", "2147483648", "expected int32 (-2147483648 to 2147483647), got 2147483648"},
		{"int64", "-9223372036854775808", ""},
		{"int64", "9223372036854775807", ""},
		{"int64", "9223372036854775808", "expected int64 (-9223372036854775808 to 9223372036854775807), got 9223372036854775808"},
		{"uint8", "255", ""},
		{"uint8", "256", "expected uint8 (0 to 255), got 256"},
		{"uint64", "18446744073709551615", ""},
		{"uint64", "-1", "expected uint64 (0 to 18446744073709551615), got -1"},
		{"uint64", "5.0", "expected uint64, got 5.0"},
		{"uint64", `"5"`, `expected uint64, got "5"`},

		{"double", "1", ""},
		{"double", "-1.5", ""},
		{"float", "NaN", ""},
		{"double", `"NaN"`, `expected double, got "NaN"`},

		{"List<uint8>", "[0,255]", ""},
		{"List<uint8>", "[]", ""},
		{"List<uint8>", "[0,256]", "at [1]: expected uint8 (0 to 255), got 256"},
		{"List<uint8>", `"abc"`, `expected List<uint8>, got "abc"`},
		{"List<uint8>", "null", "expected List<uint8>, got null"},
		{"List<List<Point>>", `[[],[{"x":1,"y":2},{"x":1,"y":"b"}]]`, `at [1][1].y: expected int32, got "b"`},
		{"Array<int8, 2>", "[1,2]", ""},
		{"Array<int8, 2>", "[1]", "expected Array<int8, 2> (an array of 2), got [1]"},
		{"Tuple<int8, string>", `[1,"a"]`, ""},
		{"Tuple<int8, string>", `["a",1]`, `at [0]: expected int8, got "a"`},
		{"Tuple<int8, string>", `{"a":1}`, `expected Tuple<int8, string>, got {"a":1}`},
		{"Pair", `[1]`, `expected Pair, which is Tuple<int8, string> (an array of 2), got [1]`},
		{"Pair[int,Key]", `[true,false]`, ""},
		{"List<Pair[int,Key]>", `[[true,1]]`, "at [0][1]: expected bool, got 1"},

		{"Map<string, int64>", `{"a":1}`, ""},
		{"Map<string, int64>", `[]`, `expected Map<string, int64>, got []`},
		{"Map<string, int64>", `{"a":"b"}`, `at ["a"]: expected int64, got "b"`},
		{"Map<int64, int64>", `{"1":2}`, `at [key]: expected int64, got "1"`},
		{"Map<Level, int64>", `{"Low":2}`, ""},

		{"Option<int8>", "null", ""},
		{"Option<int8>", "1", ""},
		{"Option<Option<int8>>", "true", "expected int8 or null, got true"},
		{"Option<List<int8>>", "[true]", "at [0]: expected int8, got true"},
		{"List<Option<bool>>", "[true,1]", "at [1]: expected bool or null, got 1"},

		{"Point", `[1,2,null]`, ""},
		{"Point", `{"y":2,"x":1}`, ""},
		{"Point", `{"y":2,"x":1,"label":"a","unknown":[]}`, ""},
		{"Point", `[1,2]`, "expected Point, which is struct{x: int32, y: int32, label: Option<string>} (an array of 3), got [1,2]"},
		{"Point", `{"x":1}`, `expected Point, which is struct{x: int32, y: int32, label: Option<string>} with field y, got {"x":1}`},
		{"Point", `{"x":1,"y":2,"x":3}`, `expected Point, which is struct{x: int32, y: int32, label: Option<string>} with field x once, got {"x":1,"y":2,"x":3}`},
		{"Point", `{"x":1,"y":2,"label":3}`, `at label: expected string or null, got 3`},
		{"Point", `7`, "expected Point, which is struct{x: int32, y: int32, label: Option<string>}, got 7"},
		{"struct{a: int8, b: enum{A, B: bool}}", `[1,{"B":true}]`, ""},
		{"struct{a: int8, b: enum{A, B: bool}}", `[1,{"B":1}]`, `at b.B: expected bool, got 1`},
		{"struct{}", "{}", ""},
		{"struct{}", "[]", ""},
		{"Nothing", "null", ""},
		{"Nothing", "[1]", "expected Nothing, which is struct{} (an array of 0), got [1]"},

		{"Shape", `"Dot"`, ""},
		{"Shape", `{"Dot":null}`, ""},
		{"Shape", `{"Dot":1}`, `at Dot: expected null, got 1`},
		{"Shape", `{"Circle":1}`, ""},
		{"Shape", `"Circle"`, `expected {"Circle": double}, got "Circle"`},
		{"Shape", `1`, `expected {"Circle": double}, got 1`}, // by its index
		{"Shape", `0`, ""},
		{"Shape", `{"Line":[[1,2,null],{"x":1}]}`, `at Line[1]: expected Point, which is struct{x: int32, y: int32, label: Option<string>} with field y, got {"x":1}`},
		{"Shape", `"Square"`, `expected Shape, which is enum{Dot, Circle: double, Line: Tuple<Point, Point>}, got "Square"`},
		{"Shape", `{"Dot":null,"Circle":1}`, `expected Shape, which is enum{Dot, Circle: double, Line: Tuple<Point, Point>}, got {"Dot":null,"Circle":1}`},
		{"Level", `"low"`, `expected Level, which is enum{Low, High}, got "low"`},

		{"Tree", "[[],[[]]]", ""},
		{"Tree", "[[],[[1]]]", "at [1][0][0]: expected List<Tree>, got 1"},

		// What is not known passes.
		{"Loop", "1", ""},
		{"Date", `"2024-01-01"`, ""},
		{"Odd", "1", ""},
		{"Twice", "1", ""},
		{"Unheard", "1", ""},
		{"List<Unheard>", "1", ""},
		{"List<int8", "true", ""},
		{"List<int8>>", "true", ""},
		{"List<>", "true", ""},
		{"List<int8, int8>", "true", ""},
		{"Map<string>", "true", ""},
		{"Array<int8, x>", "true", ""},
		{"struct{a}", "true", ""},
		{"struct{: int8}", "true", ""},
		{"struct{a: int8, a: int8}", "true", ""},
		{"struct{a: int8;}", "true", ""},
		{"int128", "true", ""},
		{"", "true", ""},
		{strings.Repeat("List<", 200) + "bool" + strings.Repeat(">", 200), "1", ""},
	} {
		checker := described(t, strings.Replace(geometry, "TYPE", c.typ, 1))
		err := checker.Check("t", encode(t, c.arg))
		if c.want == "" {
			if err != nil {
				t.Errorf("%s, %s: %v", c.typ, c.arg, err)
			}
			continue
		}
		var fault *Error
		if !errors.As(err, &fault) {
			t.Errorf("%s, %s: %v", c.typ, c.arg, err)
			continue
		}
		sep := ": "
		if strings.HasPrefix(c.want, "at ") {
			sep = ", "
		}
		if want := "argument 1 (p)" + sep + c.want; err.Error() != want {
			t.Errorf("%s, %s:\n got %v\nwant %s", c.typ, c.arg, err, want)
		}
		if fault.Task != "t" || fault.Position != 1 || fault.Param != "p" || fault.Type != c.typ {
			t.Errorf("%s, %s: %+v", c.typ, c.arg, fault)
		}
	}
}

func TestNumberOfArguments(t *testing.T) {
	t.Parallel()
	c := described(t, `{"describe":1,"name":"p","tasks":[
		{"name":"none","params":[]},
		{"name":"one","params":[{"name":"n","type":"uint64"}]},
		{"name":"two","params":[{"type":"string"},{"name":"b","type":"bool"}]},
		{"name":"unknown"}]}`)
	for _, tt := range []struct {
		task string
		args []string
		want string
	}{
		{"none", nil, ""},
		{"none", []string{"1"}, "expected no arguments, got 1"},
		{"one", []string{"1"}, ""},
		{"one", nil, "expected 1 argument (n: uint64), got 0"},
		{"two", []string{`"a"`, "true", "3"}, "expected 2 arguments (string, b: bool), got 3"},
		{"two", []string{`"a"`, "3"}, "argument 2 (b): expected bool, got 3"},
		{"two", []string{"1", "3"}, "argument 1: expected string, got 1"},
		{"unknown", []string{"1"}, ""},
		{"nowhere", []string{"1"}, ""},
	} {
		got := ""
		if err := c.Check(tt.task, encode(t, tt.args...)); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s %v:\n got %q\nwant %q", tt.task, tt.args, got, tt.want)
		}
	}
	if err := New(nil).Check("t", encode(t, "1")); err != nil {
		t.Error(err)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	t.Parallel()
	c := described(t, strings.Replace(geometry, "TYPE", "bool", 1))
	err := c.Check("t", encode(t, `"`+strings.Repeat("ü", 100_000)+`"`))
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("%d bytes", len(err.Error()))
	}
}

// A megabyte as a list of integers, and as many small structs.
func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct{ name, typ, elem string }{
		{"bytes", "List<uint8>", "200"},
		{"structs", "List<Point>", `{"x":1,"y":2}`},
	} {
		b.Run(c.name, func(b *testing.B) {
			checker := described(b, strings.Replace(geometry, "TYPE", c.typ, 1))
			args := encode(b, "["+strings.Repeat(c.elem+",", 1<<19)+c.elem+"]")
			b.SetBytes(int64(len(args[0])))
			b.ReportAllocs()
			for b.Loop() {
				if err := checker.Check("t", args); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
