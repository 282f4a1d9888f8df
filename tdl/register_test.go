package tdl

import (
	"bytes"
	"errors"
	"io"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/wire"
)

// ordinary is the context of an ordinary task.
var ordinary = TaskContext{JobID: 1, TaskID: Index(2), TaskInstanceID: 3, ResourceGroupID: 4}

// sequence is the payload sequence of these values.
func sequence(t testing.TB, values ...any) []byte {
	t.Helper()
	b := wire.AppendHeader(nil, len(values))
	for _, v := range values {
		payload, err := msgpack.Append(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		b = wire.AppendPayload(b, payload)
	}
	return b
}

// call runs a task of p on these arguments.
func call(t testing.TB, p *pkg, task string, args ...any) ([]byte, error) {
	t.Helper()
	return execute(t, p, task, ordinary.encode(), sequence(t, args...))
}

// execute runs a task of p on these bytes. The error is the *Error that travels.
func execute(t testing.TB, p *pkg, task string, context, inputs []byte) ([]byte, error) {
	t.Helper()
	out, failed := p.Execute(nil, []byte(task), context, inputs)
	if !failed {
		return out, nil
	}
	w, err := protocol.DecodeTdlError(out)
	if err != nil {
		t.Fatalf("the failure cannot be read: %v", err)
	}
	return nil, &Error{Kind: ErrorKind(w.Variant), Message: w.Message}
}

// pack compiles a package of these tasks, which must be in order.
func pack(t testing.TB, tasks ...Task) *pkg {
	t.Helper()
	p := compile(Package{Name: "p", Tasks: tasks})
	if failure := p.Init(); failure != nil {
		t.Fatal(p.fault)
	}
	return p
}

// initError is what an executor learns when it loads p, nil if all is well.
func initError(t *testing.T, p Package) error {
	t.Helper()
	b := compile(p).Init()
	if b == nil {
		return nil
	}
	w, err := protocol.DecodeTdlError(b)
	if err != nil {
		t.Fatal(err)
	}
	return &Error{Kind: ErrorKind(w.Variant), Message: w.Message}
}

func nothing() error { return nil }

type numbered int

func (numbered) EnumVariants() []string { return []string{"A"} }

type nameless string

func (nameless) EnumVariants() []string { return []string{"", "A"} }

// Whatever is wrong with a registration is told when the package is loaded.
func TestRegistrationFaults(t *testing.T) {
	t.Parallel()
	type unsupported struct{ Field chan int }
	tasks := func(fn any) []Task { return []Task{Func("task", fn)} }
	for _, c := range []struct {
		name string
		p    Package
		says []string // nil: no fault
	}{
		{"fine", Package{Name: "p", Tasks: tasks(nothing)}, nil},
		{"no tasks", Package{Name: "p"}, nil},
		{"a name with dots", Package{Name: "...p.q"}, nil},

		{"no name", Package{}, []string{"package name"}},
		{"dot", Package{Name: "."}, []string{"package name"}},
		{"dots", Package{Name: ".."}, []string{"package name"}},
		{"path", Package{Name: "a/b"}, []string{"package name", "a/b"}},
		{"NUL", Package{Name: "a\x00"}, []string{"package name"}},

		{"task without a name", Package{Name: "p", Tasks: []Task{Func("x", nothing), Func("", nothing)}}, []string{"task 2 of 2 has no name"}},
		{"task twice", Package{Name: "p", Tasks: []Task{Func("x", nothing), Func("x", nothing)}}, []string{`"x" is registered twice`}},
		{"empty task", Package{Name: "p", Tasks: []Task{{}}}, []string{"task 1 of 1 has no name", "not a function"}},

		{"nil", Package{Name: "p", Tasks: tasks(nil)}, []string{`"task"`, "not a function"}},
		{"nil function", Package{Name: "p", Tasks: tasks((func() error)(nil))}, []string{"func() error is nil"}},
		{"no function", Package{Name: "p", Tasks: tasks(5)}, []string{"int is not a function"}},
		{"no result", Package{Name: "p", Tasks: tasks(func() {})}, []string{"the last result must be error"}},
		{"no error", Package{Name: "p", Tasks: tasks(func() int { return 0 })}, []string{"the last result must be error"}},
		//lint:ignore ST1008 it is what is tested
		{"error first", Package{Name: "p", Tasks: tasks(func() (error, int) { return nil, 0 })}, []string{"the last result must be error"}},
		{"own error type", Package{Name: "p", Tasks: tasks(func() *Error { return nil })}, []string{"the last result must be error"}},
		{"variadic", Package{Name: "p", Tasks: tasks(func(...int) error { return nil })}, []string{"variadic"}},
		{"channel", Package{Name: "p", Tasks: tasks(func(int, chan int) error { return nil })}, []string{"parameter 2", "chan int"}},
		{"function", Package{Name: "p", Tasks: tasks(func(func()) error { return nil })}, []string{"parameter 1", "func()"}},
		{"field", Package{Name: "p", Tasks: tasks(func() (unsupported, error) { return unsupported{}, nil })}, []string{"result 1", "Field", "chan int"}},
		{"interface", Package{Name: "p", Tasks: tasks(func(io.Reader) error { return nil })}, []string{"parameter 1", "io.Reader"}},
		{"context second", Package{Name: "p", Tasks: tasks(func(int, TaskContext) error { return nil })}, []string{"parameter 2", "first parameter"}},
		{"context as a result", Package{Name: "p", Tasks: tasks(func() (TaskContext, error) { return TaskContext{}, nil })}, []string{"result 1", "TaskContext"}},

		{"context by pointer", Package{Name: "p", Tasks: tasks(func(*TaskContext) error { return nil })}, []string{"parameter 1", "by value"}},
		{"nil option", Package{Name: "p", Tasks: []Task{Func("task", nothing, nil)}}, nil},
		{"variants of no string", Package{Name: "p", Tasks: tasks(func(numbered) error { return nil })}, []string{"numbered", "no string type"}},
		{"variants without a name", Package{Name: "p", Tasks: tasks(func(nameless) error { return nil })}, []string{"nameless", `named ""`}},
		{"name not UTF-8", Package{Name: "a\xff"}, []string{"package name", "not UTF-8"}},
		{"task not UTF-8", Package{Name: "p", Tasks: []Task{Func("a\xff", nothing)}}, []string{"not UTF-8"}},
		{"fewer names", Package{Name: "p", Tasks: []Task{Func("task", id[int], Params())}}, []string{"Params names 0 parameters, the function has 1"}},
		{"more names", Package{Name: "p", Tasks: []Task{Func("task", id[int], Params("a", "b"))}}, []string{"Params names 2 parameters, the function has 1"}},
		{"the context is not named", Package{Name: "p", Tasks: []Task{
			Func("task", func(TaskContext, int, int) error { return nil }, Params("a", "b"))}}, nil},
		{"a name twice", Package{Name: "p", Tasks: []Task{
			Func("task", func(int, int) error { return nil }, Params("a", "a"))}}, []string{`two parameters are named "a"`}},
		{"an empty name", Package{Name: "p", Tasks: []Task{Func("task", id[int], Params(""))}}, []string{"parameter 1"}},
		{"doc of two lines", Package{Name: "p", Tasks: []Task{Func("task", nothing, Doc("a\nb"))}}, []string{"one line"}},
		{"options of what is no function", Package{Name: "p", Tasks: []Task{Func("task", 1, Doc("a\nb"), Params("x"))}}, []string{"one line", "not a function"}},

		{"all at once", Package{Name: "a/b", Tasks: []Task{
			Func("x", 1), Func("x", nothing), Func("", nothing),
			Func("y", func(chan int, complex128, ...int) (uintptr, int) { return 0, 0 }),
		}}, []string{"a/b", `"x": int is not a function`, `"x" is registered twice`, "task 3 of 4 has no name",
			"variadic", "parameter 1", "parameter 2", "complex128", "result 1", "uintptr", "last result"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := initError(t, c.p)
			if (err != nil) != (c.says != nil) {
				t.Fatalf("got %v", err)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("lacks %q:\n%v", part, err)
				}
			}
		})
	}
}

// The init hook runs each time an executor loads the package, but not where the
// registration is wrong already.
func TestInit(t *testing.T) {
	t.Parallel()
	calls := 0
	p := compile(Package{Name: "p", Init: func() error { calls++; return nil }})
	if p.Name() != "p" || p.Init() != nil || p.Init() != nil || calls != 2 {
		t.Errorf("%d calls", calls)
	}
	if err := initError(t, Package{Name: "p", Init: func() error { return io.ErrNoProgress }}); !errors.Is(err,
		&Error{Kind: ExecutionError, Message: io.ErrNoProgress.Error()}) {
		t.Errorf("an error: %v", err)
	}
	if err := initError(t, Package{Name: "p", Init: func() error { return Errorf(Custom, "mine") }}); !errors.Is(err,
		&Error{Kind: Custom, Message: "mine"}) {
		t.Errorf("an *Error: %v", err)
	}
	if err := initError(t, Package{Name: "", Init: func() error { t.Error("it ran"); return nil }}); err == nil {
		t.Error("no fault")
	}
}

// The checks come in the order unknown task, context, inputs; the first that
// fails answers, and the task does not run.
func TestOrderOfChecks(t *testing.T) {
	t.Parallel()
	p := pack(t,
		Func("task", func(ctx TaskContext, s string, n uint8) error { return Errorf(Custom, "ran") }),
		Func("none", func() error { return Errorf(Custom, "ran") }),
	)
	context, bad := ordinary.encode(), []byte{0x94}
	inputs := sequence(t, "s", 1)
	for _, c := range []struct {
		name, task      string
		context, inputs []byte
		kind            ErrorKind
		says            []string
	}{
		{"all wrong", "other", bad, bad, TaskNotFound, []string{"other"}},
		{"no name", "", context, inputs, TaskNotFound, nil},
		{"other case", "Task", context, inputs, TaskNotFound, []string{"Task"}},
		{"context and inputs wrong", "task", bad, bad, DeserializationError, []string{`"task"`, "task context"}},
		{"context empty", "none", nil, sequence(t), DeserializationError, []string{`"none"`, "task context"}},
		{"inputs empty", "none", context, nil, DeserializationError, []string{`"none"`, "inputs"}},
		{"inputs cut short", "task", context, inputs[:len(inputs)-1], DeserializationError, []string{`"task"`, "inputs"}},
		{"count that nothing backs", "task", context, []byte{0xff, 0xff, 0xff, 0xff}, DeserializationError, []string{"inputs"}},
		{"too few", "task", context, sequence(t, "s"), DeserializationError, []string{"2 arguments, got 1", "parameter 2 of 2 (uint8)"}},
		{"too many", "task", context, sequence(t, "s", 1, 2), DeserializationError, []string{"2 arguments, got 3"}},
		{"some for none", "none", context, sequence(t, 1), DeserializationError, []string{"0 arguments, got 1"}},
		{"first of the wrong type", "task", context, sequence(t, 1, 1), DeserializationError, []string{`"task"`, "parameter 1 of 2", "string"}},
		{"second of the wrong type", "task", context, sequence(t, "s", "x"), DeserializationError, []string{"parameter 2 of 2", "uint8"}},
		{"second out of range", "task", context, sequence(t, "s", 256), DeserializationError, []string{"parameter 2 of 2", "uint8"}},
		{"empty payload", "none", context, wire.AppendPayload(wire.AppendHeader(nil, 1), nil), DeserializationError, nil},
		{"fine", "task", context, inputs, Custom, []string{"ran"}},
		{"fine, bytes after it", "task", append(bytes.Clone(context), 9), append(bytes.Clone(inputs), 9), Custom, []string{"ran"}},
		{"fine without inputs", "none", context, sequence(t), Custom, []string{"ran"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Not parallel: calls of one package never overlap.
			_, err := execute(t, p, c.task, c.context, c.inputs)
			if !errors.Is(err, &Error{Kind: c.kind}) {
				t.Fatalf("got %v, want %s", err, c.kind)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not mention %q", err, part)
				}
			}
		})
	}
}

// A task learns which task of which job it is, wherever it asks for it.
func TestContextParameter(t *testing.T) {
	t.Parallel()
	var got TaskContext
	p := pack(t,
		Func("only", func(ctx TaskContext) error { got = ctx; return nil }),
		Func("first", func(ctx TaskContext, n int) error { got = ctx; return nil }),
	)
	commit, err := NewCommitContext(5, 6, 7, [][]byte{{1}})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []TaskContext{ordinary, commit} {
		for task, inputs := range map[string][]byte{"only": sequence(t), "first": sequence(t, 1)} {
			got = TaskContext{}
			if _, err := execute(t, p, task, want.encode(), inputs); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got, compareContexts); diff != "" {
				t.Errorf("%s: %s", task, diff)
			}
		}
	}
}

// A parameter that has a name is named in errors.
func TestParamNames(t *testing.T) {
	t.Parallel()
	p := pack(t, Func("task", func(ctx TaskContext, s string, n uint8) error { return nil }, Params("text", "count")))
	_, err := call(t, p, "task", "s", 256)
	if err == nil || !strings.Contains(err.Error(), `task "task": parameter 2 of 2, count (uint8): `) {
		t.Errorf("got %v", err)
	}
}

// Where in a parameter the wrong value is stands in the error.
func TestErrorPath(t *testing.T) {
	t.Parallel()
	type item struct{ Sizes []uint8 }
	p := pack(t, Func("task", func([]map[string]item) error { return nil }, Params("items")))
	bad := []map[string]any{{}, {"key": []any{[]int{1, 2, 300}}}}
	_, err := call(t, p, "task", bad)
	for _, part := range []string{`task "task"`, "1 of 1, items", "[1]", "key", "sizes", "[2]", "uint8", "300"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("lacks %q: %v", part, err)
		}
	}
}

func TestResultCount(t *testing.T) {
	t.Parallel()
	p := pack(t,
		Func("0", func() error { return nil }),
		Func("1", func() (string, error) { return "a", nil }),
		Func("2", func() (string, *int, error) { return "a", nil, nil }),
		Func("unit", func() (msgpack.Unit, error) { return msgpack.Unit{}, nil }),
	)
	for task, want := range map[string]string{
		"0":    "\x00\x00\x00\x00",
		"1":    "\x01\x00\x00\x00" + "\x02\x00\x00\x00\xa1a",
		"2":    "\x02\x00\x00\x00" + "\x02\x00\x00\x00\xa1a" + "\x01\x00\x00\x00\xc0",
		"unit": "\x01\x00\x00\x00" + "\x01\x00\x00\x00\xc0",
	} {
		got, err := call(t, p, task)
		if err != nil || string(got) != want {
			t.Errorf("%s results: %x, %v, want %x", task, got, err, want)
		}
	}
}

type inner struct {
	ID   uint64
	Tags []string
}

type outer struct {
	Name  string
	Inner inner
	Maybe *inner
	ByKey map[string]int64
	Pair  [2]float32
	Bytes []byte
}

type recursive struct {
	Value int
	Next  *recursive
}

type celsius float64

func id[T any](v T) (T, error) { return v, nil }

// Values of all shapes come through a task unchanged.
func TestShapes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fn    any
		value any
	}{
		{"bool", id[bool], true},
		{"int", id[int], math.MinInt},
		{"int8", id[int8], int8(-128)},
		{"int16", id[int16], int16(-32768)},
		{"int32", id[int32], int32(-1 << 31)},
		{"int64", id[int64], int64(math.MaxInt64)},
		{"uint8", id[uint8], uint8(255)},
		{"uint64", id[uint64], uint64(math.MaxUint64)},
		{"float32", id[float32], float32(0.1)},
		{"float64", id[float64], math.Inf(-1)},
		{"string", id[string], "héllo\x00"},
		{"long string", id[string], strings.Repeat("x", 1<<20)},
		{"bytes", id[[]byte], []byte{0, 127, 128, 255}},
		{"empty bytes", id[[]byte], []byte{}},
		{"slice", id[[]int64], []int64{1, -2, 3}},
		{"slices", id[[][]string], [][]string{{"a"}, {}, {"b", "c"}}},
		{"array", id[[3]uint16], [3]uint16{1, 2, 65535}},
		{"map", id[map[string]int], map[string]int{"a": 1, "b": -1}},
		{"map by number", id[map[uint32][]bool], map[uint32][]bool{7: {true}, 8: {}}},
		{"some", id[*string], new("x")},
		{"none", id[*string], (*string)(nil)},
		{"named", id[celsius], celsius(36.6)},
		{"struct", id[outer], outer{Name: "n", Inner: inner{7, []string{"t"}}, Maybe: &inner{8, []string{}},
			ByKey: map[string]int64{"k": 1}, Pair: [2]float32{1, 2}, Bytes: []byte{9}}},
		{"struct of nothing much", id[outer], outer{Inner: inner{Tags: []string{}}, ByKey: map[string]int64{}, Bytes: []byte{}}},
		{"recursive", id[recursive], recursive{1, &recursive{2, &recursive{3, nil}}}},
		{"empty struct", id[struct{}], struct{}{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := pack(t, Func("task", c.fn))
			out, err := call(t, p, "task", c.value)
			if err != nil {
				t.Fatal(err)
			}
			if want := sequence(t, c.value); !bytes.Equal(out, want) {
				t.Fatalf("got %.100x, want %.100x", out, want)
			}
			payloads, err := wire.Split(nil, out)
			if err != nil || len(payloads) != 1 {
				t.Fatal(payloads, err)
			}
			got := reflect.New(reflect.TypeOf(c.value))
			if err := DecodeValue(payloads[0], got.Interface()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.value, got.Elem().Interface()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Many parameters and results keep their order.
func TestManyParameters(t *testing.T) {
	t.Parallel()
	p := pack(t, Func("rotate", func(_ TaskContext, a int, b string, c []byte, d *bool, e float64, f [1]uint8) (string, []byte, *bool, float64, [1]uint8, int, error) {
		return b, c, d, e, f, a, nil
	}))
	out, err := call(t, p, "rotate", 1, "b", []byte{3}, new(true), 5.0, [1]uint8{6})
	if want := sequence(t, "b", []byte{3}, new(true), 5.0, [1]uint8{6}, 1); err != nil || !bytes.Equal(out, want) {
		t.Errorf("got %x, %v, want %x", out, err, want)
	}
}

// What a task keeps of its arguments, and what a caller keeps of the outputs, is
// not touched by the calls after it; nor does an argument left out in one call
// come back from the call before it.
func TestCallsDoNotShare(t *testing.T) {
	t.Parallel()
	type value struct {
		Texts []string
		Bytes []byte
		ByKey map[string]int
		Maybe *string
	}
	var kept []value
	p := pack(t, Func("keep", func(v value) (value, error) { kept = append(kept, v); return v, nil }))
	values := []value{
		{[]string{"first", "call"}, []byte("bytes"), map[string]int{"a": 1, "b": 2}, new("there")},
		{[]string{"x"}, []byte("y"), map[string]int{"c": 3}, nil},
		{[]string{}, []byte{}, map[string]int{}, nil},
	}
	var dst []byte
	for _, v := range values {
		inputs := sequence(t, v)
		var failed bool
		// One buffer for all outputs, as tdl/cshared has it.
		dst, failed = p.Execute(dst[:0], []byte("keep"), ordinary.encode(), inputs)
		if want := sequence(t, v); failed || !bytes.Equal(dst, want) {
			t.Errorf("got %x, want %x", dst, want)
		}
		// The executor's memory is the executor's again.
		for i := range inputs {
			inputs[i] = 0xdd
		}
	}
	if diff := cmp.Diff(values, kept); diff != "" {
		t.Error(diff)
	}
}

// Outputs and errors are appended: what is in the buffer stays, and nothing of a
// result that could not be encoded does.
func TestExecuteAppends(t *testing.T) {
	t.Parallel()
	type union struct {
		msgpack.Enum
		A *int
		B *int
	}
	p := pack(t,
		Func("fine", func() (int, error) { return 1, nil }),
		Func("fails", func() (int, error) { return 1, Errorf(Custom, "no") }),
		// An enum without a variant has no form.
		Func("cannot be encoded", func() (string, union, error) { return "a", union{}, nil }),
	)
	for _, task := range []string{"fine", "fails", "cannot be encoded", "missing"} {
		alone, failed := p.Execute(nil, []byte(task), ordinary.encode(), sequence(t))
		after, failedAgain := p.Execute([]byte("before"), []byte(task), ordinary.encode(), sequence(t))
		if string(after) != "before"+string(alone) || failed != failedAgain {
			t.Errorf("%s: %x after %x", task, after, alone)
		}
	}
	_, err := call(t, p, "cannot be encoded")
	if !errors.Is(err, &Error{Kind: SerializationError}) || !strings.Contains(err.Error(), "result 2 of 2") {
		t.Errorf("got %v", err)
	}
}

// What a request claims costs no memory: a million empty payloads are counted,
// not kept. Not parallel: the counters are the whole process's.
func TestManyPayloads(t *testing.T) {
	p := pack(t, Func("none", nothing))
	inputs := wire.AppendHeader(nil, 1<<20)
	inputs = append(inputs, make([]byte, 4<<20)...)
	context := ordinary.encode()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const calls = 10
	for range calls {
		if _, failed := p.Execute(nil, []byte("none"), context, inputs); !failed {
			t.Fatal("accepted")
		}
	}
	runtime.ReadMemStats(&after)
	if n := (after.TotalAlloc - before.TotalAlloc) / calls; n > 64<<10 {
		t.Errorf("%d bytes are allocated for a request of %d payloads", n, 1<<20)
	}
}

func TestFuncDocumentedForm(t *testing.T) {
	t.Parallel()
	p := pack(t, Func("add", func(ctx TaskContext, a, b int64) (int64, error) { return a + b, nil }))
	out, err := call(t, p, "add", 2, -5)
	if want := sequence(t, -3); err != nil || !bytes.Equal(out, want) {
		t.Errorf("got %x, %v", out, err)
	}
}
