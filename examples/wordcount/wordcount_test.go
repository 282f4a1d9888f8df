package wordcount_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// build makes the programs, and the package in a folder of its own.
func build(t *testing.T) (_ tasktest.Built, dir string) {
	t.Helper()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	skipped, err := tasktest.BuildRust(dir)
	if err != nil {
		t.Fatal(err)
	}
	if skipped != "" {
		t.Skip(skipped)
	}
	return built, dir
}

// start runs the real executor with the package.
func start(t *testing.T) *pool.Process {
	t.Helper()
	built, dir := build(t)
	p, err := pool.StartProcess(pool.ProcessConfig{Executor: built.Executor, PackageDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func run(p *pool.Process, task string, context, inputs []byte) ([]byte, error) {
	result, err := p.Execute(pool.Request{
		Package: "wordcount", Task: task, Context: context, Inputs: inputs,
	}, time.Minute)
	return result.Outputs, err
}

// call runs a task that must succeed and answer one value.
func call[T any](t *testing.T, p *pool.Process, task string, args ...any) (value T) {
	t.Helper()
	out, err := run(p, task, tasktest.Context(), tasktest.Inputs(args...))
	if err == nil {
		err = tasktest.Outputs(out, &value)
	}
	if err != nil {
		t.Fatalf("%s: %v", task, err)
	}
	return value
}

// frequency is a tuple of Rust: an array of two.
type frequency struct {
	Word  string
	Count uint64
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestResults(t *testing.T) {
	t.Parallel()
	p := start(t)
	for _, c := range []struct {
		text string
		top  uint64
		want []frequency
	}{
		{"", 10, []frequency{}},
		{"one Two two, three-THREE\nthree.", 10, []frequency{{"three", 3}, {"two", 2}, {"one", 1}}},
		{"b a b a c", 2, []frequency{{"a", 2}, {"b", 2}}},
		{"a", 0, []frequency{}},
		{"a", 1<<64 - 1, []frequency{{"a", 1}}},
		{"Äpfel äpfel \xff ä", 10, []frequency{{"äpfel", 2}, {"ä", 1}}},
		{strings.Repeat("no line end ", 100_000), 1, []frequency{{"end", 100_000}}},
	} {
		if diff := cmp.Diff(c.want, call[[]frequency](t, p, "count", file(t, c.text), c.top)); diff != "" {
			t.Errorf("count of %.40q: %s", c.text, diff)
		}
	}
	if diff := cmp.Diff(map[uint64]uint64{1: 1, 2: 2, 5: 1}, call[map[uint64]uint64](t, p, "lengths", "a bb cc äöüßé")); diff != "" {
		t.Error(diff)
	}
	if word := call[*string](t, p, "longest", []string{"a", "bbb", "ccc"}); word == nil || *word != "bbb" {
		t.Errorf("longest: %v", word)
	}
	if word := call[*string](t, p, "longest", []string{}); word != nil {
		t.Errorf("longest of nothing: %q", *word)
	}
	if word := call[string](t, p, "nth", []string{"a", "b"}, 1); word != "b" {
		t.Errorf("nth: %q", word)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	p := start(t)
	missing := filepath.Join(t.TempDir(), "missing")
	ctx, none := tasktest.Context(), tasktest.Inputs()
	ofCommit, err := tdl.NewCommitContext(1, 1, 1, [][]byte{{1}})
	if err != nil {
		t.Fatal(err)
	}
	commit, err := ofCommit.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		task            string
		context, inputs []byte
		kind            tdl.ErrorKind
		texts           []string
	}{
		{"no_such_task", nil, nil, tdl.TaskNotFound, []string{"no_such_task"}},
		{"", nil, nil, tdl.TaskNotFound, nil},
		{"count", nil, none, tdl.DeserializationError, []string{"count", "context"}},
		{"count", ctx[:len(ctx)-1], none, tdl.DeserializationError, []string{"count", "context"}},
		{"count", ctx, nil, tdl.DeserializationError, []string{"count", "inputs"}},
		{"count", ctx, []byte{2, 0, 0, 0, 255, 255, 255, 255}, tdl.DeserializationError, []string{"count", "path", "cut short"}},
		{"count", ctx, tasktest.Inputs(missing), tdl.DeserializationError, []string{"want 2 arguments, got 1"}},
		{"count", ctx, tasktest.Inputs(missing, 1, 2), tdl.DeserializationError, []string{"want 2 arguments, got 3"}},
		{"count", ctx, tasktest.Inputs(1, 2), tdl.DeserializationError, []string{`"count"`, "parameter 1 (path: String)", "expected a string"}},
		{"count", ctx, tasktest.Inputs(missing, "3"), tdl.DeserializationError, []string{`"count"`, "parameter 2 (top: u64)"}},
		{"count", ctx, tasktest.Inputs(missing, -1), tdl.DeserializationError, []string{"parameter 2 (top: u64)", "-1"}},
		{"count", ctx, tasktest.Inputs(missing, 1), tdl.ExecutionError, []string{missing, "No such file"}},
		{"count", commit, tasktest.Inputs(missing, 1), tdl.ExecutionError, []string{missing}},
	} {
		_, err := run(p, c.task, c.context, c.inputs)
		var failed *tdl.Error
		if !errors.As(err, &failed) || failed.Kind != c.kind {
			t.Errorf("%s: got %v, want a %s", c.task, err, c.kind)
			continue
		}
		for _, text := range c.texts {
			if !strings.Contains(failed.Message, text) {
				t.Errorf("%s: %q does not contain %q", c.task, failed.Message, text)
			}
		}
	}
}

// What a task returns becomes no output, one or several, by its type.
func TestReturnTypes(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	skipped, err := tasktest.BuildRustReturns(dir)
	if err != nil {
		t.Fatal(err)
	}
	if skipped != "" {
		t.Skip(skipped)
	}
	p, err := pool.StartProcess(pool.ProcessConfig{Executor: built.Executor, PackageDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	sixteen := "\x10\x00\x00\x00"
	for i := range 16 {
		sixteen += "\x01\x00\x00\x00" + string(rune(i))
	}
	for task, want := range map[string]string{
		"unit":          "\x00\x00\x00\x00",
		"alias_of_unit": "\x00\x00\x00\x00",
		"one":           "\x01\x00\x00\x00\x01\x00\x00\x00\x37",
		"one_tuple":     "\x01\x00\x00\x00\x01\x00\x00\x00\x37",
		"two":           "\x02\x00\x00\x00\x01\x00\x00\x00\x01\x02\x00\x00\x00\xa1b",
		"alias_of_two":  "\x02\x00\x00\x00\x01\x00\x00\x00\x01\x02\x00\x00\x00\xa1b",
		"sixteen":       sixteen,
		"tuple_as_one":  "\x01\x00\x00\x00\x04\x00\x00\x00\x92\x01\xa1b",
		"none":          "\x01\x00\x00\x00\x01\x00\x00\x00\xc0",
		"array":         "\x01\x00\x00\x00\x03\x00\x00\x00\x92\x01\x02",
		"list":          "\x01\x00\x00\x00\x04\x00\x00\x00\x91\x92\x01\x02",
		"pair_struct":   "\x01\x00\x00\x00\x03\x00\x00\x00\x92\x01\x02",
		"unit_struct":   "\x01\x00\x00\x00\x01\x00\x00\x00\x90",
	} {
		r, err := p.Execute(pool.Request{Package: "returns", Task: task, Context: tasktest.Context(), Inputs: tasktest.Inputs()}, time.Minute)
		if err != nil || string(r.Outputs) != want {
			t.Errorf("%s: %x, want %x; %v", task, r.Outputs, want, err)
		}
	}
	for task, want := range map[string]string{
		"tuple":  "\x02\x00\x00\x00\x01\x00\x00\x00\x07\x01\x00\x00\x00\x02",
		"single": "\x01\x00\x00\x00\x01\x00\x00\x00\x07",
	} {
		r, err := p.Execute(pool.Request{Package: "returns", Task: task, Context: tasktest.Context(), Inputs: tasktest.Inputs(7)}, time.Minute)
		if err != nil || string(r.Outputs) != want {
			t.Errorf("%s: %x, want %x; %v", task, r.Outputs, want, err)
		}
	}
	for _, c := range []struct {
		task   string
		inputs []byte
		kind   tdl.ErrorKind
		says   string
	}{
		{"none_of_two", tasktest.Inputs(7), tdl.Custom, "not 7"},
		{"second_fails", tasktest.Inputs(), tdl.SerializationError, `task "second_fails": result 2: it has no form`},
	} {
		_, err := p.Execute(pool.Request{Package: "returns", Task: c.task, Context: tasktest.Context(), Inputs: c.inputs}, time.Minute)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %s: %s", c.task, err, c.kind, c.says)
		}
	}
}

// A panic is an answer, and the process goes on.
func TestPanic(t *testing.T) {
	t.Parallel()
	p := start(t)
	for range 3 {
		_, err := run(p, "nth", tasktest.Context(), tasktest.Inputs([]string{"a"}, 7))
		var failed *tdl.Error
		if !errors.As(err, &failed) || failed.Kind != tdl.ExecutionError || !strings.Contains(failed.Message, "panic: index out of bounds") {
			t.Fatalf("got %v", err)
		}
		if word := call[string](t, p, "nth", []string{"a"}, 0); word != "a" {
			t.Fatalf("afterwards: %q", word)
		}
	}
}

// The package tells about every task it has.
func TestDescription(t *testing.T) {
	t.Parallel()
	built, dir := build(t)
	cmd := exec.Command(built.Executor, "--describe", "wordcount")
	cmd.Env = append(os.Environ(), "SPIDER_TDL_PACKAGE_DIR="+dir)
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var d tdl.Description
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, task := range d.Tasks {
		names = append(names, task.Name)
	}
	if diff := cmp.Diff([]string{"count", "lengths", "longest", "nth"}, names); diff != "" || d.Name != "wordcount" || d.Format != 1 {
		t.Errorf("%+v\n%s", d, diff)
	}
}

// A pointer whose length is 0 means nothing, and no result is at NULL.
func TestZeroLengthPointers(t *testing.T) {
	t.Parallel()
	_, dir := build(t)
	host := filepath.Join(t.TempDir(), "host")
	if err := tasktest.BuildHost("zero_host", host); err != nil {
		t.Fatal(err)
	}
	library := filepath.Join(dir, "wordcount", "libwordcount.so")
	if text, err := exec.Command(host, library, "count").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}
