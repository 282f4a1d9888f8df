package tdl

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spider-go/spider/internal/wire"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var compareContexts = cmp.AllowUnexported(TaskContext{}, TaskID{})

// contextVectors returns the recorded contexts and task ids, by name.
func contextVectors(t testing.TB) map[string][]byte {
	t.Helper()
	text, err := os.ReadFile("../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []struct{ Name, Hex string }
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for _, v := range all {
		for _, prefix := range []string{"msgpack/TaskContext/", "decode/TaskContext/", "decode/TaskId/"} {
			if strings.HasPrefix(v.Name, prefix) {
				found[v.Name] = unhex(t, v.Hex)
			}
		}
	}
	return found
}

// What the Rust implementation wrote is what is written and read here; what it
// refuses is refused.
func TestContextVectors(t *testing.T) {
	t.Parallel()
	const job, instance, group = 0x1122334455667788, 7, 42
	must := func(c TaskContext, err error) *TaskContext {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return &c
	}
	written := map[string]*TaskContext{
		"Index(0)":      must(NewTaskContext(job, Index(0), instance, group)),
		"Index(300)":    must(NewTaskContext(job, Index(300), instance, group)),
		"Commit[1,2,3]": must(NewCommitContext(job, instance, group, [][]byte{{1}, {2}, {3}})),
		"Commit[]":      must(NewCommitContext(job, instance, group, nil)),
		"Commit_bytes>=128": {JobID: job, TaskID: Commit, TaskInstanceID: instance, ResourceGroupID: group,
			outputs: []byte{0, 1, 0x7f, 0x80, 0xff}, hasOutputs: true},
		"Cleanup":  must(NewTaskContext(job, Cleanup, instance, group)),
		"zero_ids": must(NewTaskContext(0, Index(0), 0, 0)),
	}
	// nil: refused
	ids := map[string]*TaskID{
		"int-keyed map": new(Index(5)),
		"array":         nil,
	}
	refused := map[string]bool{"6 elements": true, "negative id": true}

	vectors := contextVectors(t)
	for name, b := range vectors {
		if name, ok := strings.CutPrefix(name, "msgpack/TaskContext/"); ok && written[name] != nil {
			if got := written[name].encode(); !bytes.Equal(got, b) {
				t.Errorf("%s: wrote %x, want %x", name, got, b)
			}
			got, err := decodeContext(b)
			if diff := cmp.Diff(*written[name], got, compareContexts); err != nil || diff != "" {
				t.Errorf("%s: read: %v\n%s", name, err, diff)
			}
			continue
		}
		if name, ok := strings.CutPrefix(name, "decode/TaskContext/"); ok && refused[name] {
			if c, err := decodeContext(b); err == nil {
				t.Errorf("%s: accepted as %+v", name, c)
			}
			continue
		}
		if name, ok := strings.CutPrefix(name, "decode/TaskId/"); ok {
			if want, known := ids[name]; known {
				got, err := decodeContext(append(append([]byte{0x95, 1}, b...), 2, 3, 0xc0))
				if (err == nil) != (want != nil) || want != nil && got.TaskID != *want {
					t.Errorf("%s: %v, %v", name, got.TaskID, err)
				}
				continue
			}
		}
		t.Errorf("no test knows the vector %s", name)
	}
	if want := len(written) + len(ids) + len(refused); len(vectors) != want {
		t.Errorf("%d vectors, want %d", len(vectors), want)
	}
}

// The forms in which a context may and may not arrive.
func TestDecodeContext(t *testing.T) {
	t.Parallel()
	name := func(s string) string { return hex.EncodeToString(append([]byte{0xa0 | byte(len(s))}, s...)) }
	long := "bd" + hex.EncodeToString([]byte("serialized_task_graph_outputs"))
	var (
		index   = "81" + name("Index") + "07"
		commit  = name("Commit")
		cleanup = name("Cleanup")
		fields  = name("job_id") + "01" + name("task_id") + index + name("task_instance_id") + "02" + name("resource_group_id") + "03"
	)
	plain := func(id TaskID) *TaskContext {
		return &TaskContext{JobID: 1, TaskID: id, TaskInstanceID: 2, ResourceGroupID: 3}
	}
	with := func(outputs ...byte) *TaskContext {
		c := plain(Commit)
		c.outputs, c.hasOutputs = append([]byte{}, outputs...), true
		return c
	}
	for _, c := range []struct {
		name, hex string
		want      *TaskContext // nil: refused
	}{
		{"index", "95 01" + index + "02 03 c0", plain(Index(7))},
		{"commit", "95 01" + commit + "02 03 c0", plain(Commit)},
		{"cleanup", "95 01" + cleanup + "02 03 c0", plain(Cleanup)},
		{"array16", "dc0005 01" + index + "02 03 c0", plain(Index(7))},
		{"array32", "dd00000005 01" + index + "02 03 c0", plain(Index(7))},
		{"wide integers", "95 cf0000000000000001" + index + "cd0002 d103e8 c0", &TaskContext{JobID: 1, TaskID: Index(7), TaskInstanceID: 2, ResourceGroupID: 1000}},
		{"largest", "95 cfffffffffffffffff" + cleanup + "cfffffffffffffffff 03 c0", &TaskContext{JobID: 1<<64 - 1, TaskID: Cleanup, TaskInstanceID: 1<<64 - 1, ResourceGroupID: 3}},
		{"bytes after it", "95 01" + index + "02 03 c0 c1c1", plain(Index(7))},

		{"unit with nil", "95 01 81" + commit + "c0 02 03 c0", plain(Commit)},
		{"unit by index", "95 01 01 02 03 c0", plain(Commit)},
		{"unit by index, with nil", "95 01 81 02 c0 02 03 c0", plain(Cleanup)},
		{"index by index", "95 01 81 00 07 02 03 c0", plain(Index(7))},
		{"variant as bin", "95 01 c406 436f6d6d6974 02 03 c0", plain(Commit)},

		{"outputs as integers", "95 01" + commit + "02 03 93 00cc80ccff", with(0, 0x80, 0xff)},
		{"outputs as bin", "95 01" + commit + "02 03 c403 0080ff", with(0, 0x80, 0xff)},
		{"no outputs bytes", "95 01" + commit + "02 03 90", with()},
		{"outputs of an index task", "95 01" + index + "02 03 91 00", &TaskContext{JobID: 1, TaskID: Index(7), TaskInstanceID: 2, ResourceGroupID: 3, outputs: []byte{0}, hasOutputs: true}},

		{"map", "85" + fields + long + "c0", plain(Index(7))},
		{"map without the last", "84" + fields, plain(Index(7))},
		{"map with a key nobody knows", "85" + fields + name("more") + "93010203", plain(Index(7))},
		{"map by field index", "84 00 01 01" + commit + "02 02 03 03", plain(Commit)},

		{"empty", "", nil},
		{"nil", "c0", nil},
		{"string", name("Commit"), nil},
		{"no elements", "90", nil},
		{"4 elements", "94 01" + index + "02 03", nil},
		{"6 elements", "96 01" + index + "02 03 c0 c0", nil},
		{"cut short", "95 01" + index + "02 03", nil},
		{"map without the first", "83" + name("task_id") + index + name("task_instance_id") + "02" + name("resource_group_id") + "03", nil},
		{"map with a field twice", "85" + fields + name("job_id") + "01", nil},
		{"negative job", "95 ff" + index + "02 03 c0", nil},
		{"job as float", "95 cb3ff0000000000000" + index + "02 03 c0", nil},
		{"job as string", "95" + name("1") + index + "02 03 c0", nil},
		{"no such variant", "95 01" + name("Other") + "02 03 c0", nil},
		{"no such variant index", "95 01 03 02 03 c0", nil},
		{"other case", "95 01" + name("commit") + "02 03 c0", nil},
		{"index without value", "95 01" + name("Index") + "02 03 c0", nil},
		{"index with nil", "95 01 81" + name("Index") + "c0 02 03 c0", nil},
		{"unit with a value", "95 01 81" + commit + "01 02 03 c0", nil},
		{"two variants", "95 01 82" + commit + "c0" + cleanup + "c0 02 03 c0", nil},
		{"no variant", "95 01 80 02 03 c0", nil},
		{"nil variant", "95 01 c0 02 03 c0", nil},
		{"negative index", "95 01 81" + name("Index") + "ff 02 03 c0", nil},
		{"outputs as string", "95 01" + commit + "02 03 a3 000000", nil},
		{"outputs beyond a byte", "95 01" + commit + "02 03 91 cd0100", nil},
		{"outputs that claim too much", "95 01" + commit + "02 03 ddffffffff 00", nil},
		{"reserved byte", "95 01" + index + "02 c1 c0", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := decodeContext(unhex(t, c.hex))
			if c.want == nil {
				if err == nil {
					t.Fatalf("accepted as %+v", got)
				}
				if !strings.Contains(err.Error(), "expected an array of 5: job_id, task_id") {
					t.Errorf("%q does not say what is expected", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(*c.want, got, compareContexts); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Whatever arrives is a context or an error; a context keeps its meaning when it
// is written and read again.
func FuzzDecodeContext(f *testing.F) {
	for _, b := range contextVectors(f) {
		f.Add(b)
	}
	f.Add([]byte{0x95, 1, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeContext(b)
		if err != nil {
			return
		}
		_, _, _ = c.TaskGraphOutputs()
		b, err = c.Encode()
		if errors.Is(err, InvalidTaskContext) && (c.TaskID == Commit) != c.hasOutputs {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeContext(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c, again, compareContexts); diff != "" {
			t.Error(diff)
		}
	})
}

func TestConstructors(t *testing.T) {
	t.Parallel()
	_, err := NewTaskContext(1, Commit, 2, 3)
	if !errors.Is(err, &Error{Kind: InvalidTaskContext}) {
		t.Errorf("a commit context without outputs: %v", err)
	}
	for _, id := range []TaskID{{}, Index(0), Index(1<<64 - 1), Cleanup} {
		c, err := NewTaskContext(1, id, 2, 3)
		if err != nil || c.TaskID != id || c.JobID != 1 || c.TaskInstanceID != 2 || c.ResourceGroupID != 3 {
			t.Errorf("%v: %+v, %v", id, c, err)
		}
		if outputs, ok, err := c.TaskGraphOutputs(); outputs != nil || ok || err != nil {
			t.Errorf("%v: outputs %v, %v, %v", id, outputs, ok, err)
		}
	}
}

// Outputs reach the commit task whole, in both encodings and beyond a frame of
// the pipe.
func TestGraphOutputs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		payloads [][]byte
		encoding byte
	}{
		{"none", [][]byte{}, 0},
		{"one", [][]byte{{0xc0}}, 0},
		{"an empty one", [][]byte{{}, {1}}, 0},
		{"as much as stays plain", [][]byte{make([]byte, 1000), make([]byte, 24)}, 0},
		{"one more", [][]byte{make([]byte, 1000), make([]byte, 25)}, 1},
		{"many", func() (p [][]byte) {
			for i := range 5000 {
				p = append(p, bytes.Repeat([]byte{byte(i)}, i%300))
			}
			return p
		}(), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			built, err := NewCommitContext(1, 2, 3, c.payloads)
			if err != nil || built.TaskID != Commit {
				t.Fatal(built.TaskID, err)
			}
			if built.outputs[0] != c.encoding {
				t.Errorf("encoding %d, want %d", built.outputs[0], c.encoding)
			}
			read, err := decodeContext(built.encode())
			if err != nil {
				t.Fatal(err)
			}
			got, ok, err := read.TaskGraphOutputs()
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if !slices.EqualFunc(c.payloads, got, bytes.Equal) {
				t.Errorf("got %d other payloads, want %d", len(got), len(c.payloads))
			}
		})
	}
}

func TestDamagedGraphOutputs(t *testing.T) {
	t.Parallel()
	compressed, err := wire.EncodeOutputs([][]byte{make([]byte, 5000)})
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{
		"empty":               {},
		"no such encoding":    {2, 0, 0, 0, 0},
		"cut short":           {0, 1, 0, 0, 0},
		"claims too much":     {0, 0xff, 0xff, 0xff, 0xff},
		"not compressed":      {1, 0, 0, 0, 0},
		"compressed and cut":  compressed[:len(compressed)-3],
		"bytes after a frame": append(bytes.Clone(compressed), 9),
	} {
		c := TaskContext{TaskID: Commit, outputs: raw, hasOutputs: true}
		_, ok, err := c.TaskGraphOutputs()
		if !ok || !errors.Is(err, &Error{Kind: DeserializationError}) {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
}

// The fields can be set to what the constructors refuse, and a peer's context may say it;
// it does not travel on.
func TestContradictingContextIsNotEncoded(t *testing.T) {
	t.Parallel()
	commit, err := NewCommitContext(1, 2, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	renamed := commit
	renamed.TaskID = Cleanup
	decoded, err := DecodeContext([]byte("\x95\x01\xa6Commit\x02\x03\xc0"))
	if err != nil {
		t.Fatal(err)
	}
	for says, c := range map[string]TaskContext{
		"a commit task's context needs the outputs":   {JobID: 1, TaskID: Commit},
		"context needs the outputs of the task graph": decoded,
		"only a commit task's context has outputs":    renamed,
		"but this is of task 7":                       {TaskID: Index(7), outputs: commit.outputs, hasOutputs: true},
	} {
		if b, err := c.Encode(); b != nil || !errors.Is(err, InvalidTaskContext) || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %x, %v, want %q", c, b, err, says)
		}
	}
	for _, c := range []TaskContext{commit, {}, {TaskID: Cleanup}} {
		if b, err := c.Encode(); len(b) == 0 || err != nil {
			t.Errorf("%+v: %x, %v", c, b, err)
		}
	}
}

func TestTaskID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id    TaskID
		text  string
		index uint64
		ok    bool
	}{
		{TaskID{}, "task 0", 0, true},
		{Index(12), "task 12", 12, true},
		{Commit, "commit task", 0, false},
		{Cleanup, "cleanup task", 0, false},
	} {
		index, ok := c.id.Index()
		if c.id.String() != c.text || index != c.index || ok != c.ok {
			t.Errorf("%v: %d, %v", c.id, index, ok)
		}
	}
	if (TaskID{}) != Index(0) || Commit == Cleanup || Index(0) == Commit {
		t.Error("task ids do not compare as they should")
	}
}

func TestGraphOutputsDecode(t *testing.T) {
	t.Parallel()
	ctx, err := NewCommitContext(1, 2, 3, [][]byte{{5}, {0xa1, 'x'}, {0x92, 1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	outputs, ok, err := ctx.TaskGraphOutputs()
	if err != nil || !ok || len(outputs) != 3 {
		t.Fatal(outputs, ok, err)
	}
	var (
		n    int
		s    string
		list []int
	)
	if err := errors.Join(outputs.Decode(0, &n), outputs.Decode(1, &s), outputs.Decode(2, &list)); err != nil || n != 5 || s != "x" || !slices.Equal(list, []int{1, 2}) {
		t.Errorf("%d %q %v, %v", n, s, list, err)
	}
	for i, says := range map[int]string{-1: "no output -1", 3: "no output 3", 1: "output 1"} {
		if err := outputs.Decode(i, &n); !errors.Is(err, DeserializationError) || !strings.Contains(err.Error(), says) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// A type with its own encoding is made of values: read in turn, appended in turn.
func TestReadAndAppendValue(t *testing.T) {
	t.Parallel()
	b, err := AppendValue([]byte("before"), 300)
	if err == nil {
		b, err = AppendValue(b, "x")
	}
	if err != nil || string(b) != "before\xcd\x01\x2c\xa1x" {
		t.Fatalf("%x, %v", b, err)
	}
	var n int
	rest, err := ReadValue(b[len("before"):], &n)
	if err != nil || n != 300 || string(rest) != "\xa1x" {
		t.Errorf("%d, %x, %v", n, rest, err)
	}
	if _, err := ReadValue(rest, &n); !errors.Is(err, DeserializationError) {
		t.Errorf("%v", err)
	}
	if _, err := AppendValue(nil, make(chan int)); !errors.Is(err, SerializationError) {
		t.Errorf("%v", err)
	}
}

func TestDecodeValue(t *testing.T) {
	t.Parallel()
	var s string
	if err := DecodeValue([]byte{0xa2, 'h', 'i'}, &s); err != nil || s != "hi" {
		t.Errorf("%q, %v", s, err)
	}
	if err := DecodeValue([]byte{1}, &s); !errors.Is(err, &Error{Kind: DeserializationError}) {
		t.Errorf("got %v", err)
	}
	if err := DecodeValue(nil, &s); !errors.Is(err, &Error{Kind: DeserializationError}) {
		t.Errorf("got %v", err)
	}
}

// The short way through the usual form must mean what the long one does.
func FuzzPlainContext(f *testing.F) {
	for _, c := range []TaskContext{
		{}, {JobID: 1, TaskID: Index(2), TaskInstanceID: 3, ResourceGroupID: 4},
		{JobID: 1 << 63, TaskID: Index(300), TaskInstanceID: 70_000, ResourceGroupID: 1 << 40},
		{TaskID: Cleanup},
	} {
		f.Add(c.encode())
	}
	f.Add([]byte("\x95\xff\x81\xa5Index\x00\x00\x00\xc0"))
	f.Add([]byte("\x95\x00\x81\xa5Index\xd0\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, ok := decodePlainContext(b)
		if !ok {
			return
		}
		if full, err := decodeAnyContext(b); err != nil || !reflect.DeepEqual(plain, full) {
			t.Errorf("%x is %+v, else %+v, %v", b, plain, full, err)
		}
	})
}

func TestPlainContextIsTheUsualOne(t *testing.T) {
	c, err := NewTaskContext(7, Index(1000), 1<<33, 200)
	if err != nil {
		t.Fatal(err)
	}
	b := c.encode()
	got, ok := decodePlainContext(b)
	if !ok || !reflect.DeepEqual(got, c) {
		t.Errorf("%x: %+v, %v", b, got, ok)
	}
	for n := range b {
		if _, ok := decodePlainContext(b[:n]); ok {
			t.Errorf("%x is taken for a context", b[:n])
		}
	}
	if n := testing.AllocsPerRun(100, func() { decodePlainContext(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
