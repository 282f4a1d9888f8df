package tasktest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spider-go/spider/tdl"
)

// valueTest is testdata/c/value_test.c as a program.
type valueTest string

// run returns what it writes; refused is exit status 1.
func (v valueTest) run(t *testing.T, stdin []byte, args ...string) (out []byte, refused bool) {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(string(v), args...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 && stderr.Len() == 0 {
		return out, true
	}
	if err != nil {
		t.Errorf("%.100q: %v\n%s", args, err, &stderr)
	}
	return out, false
}

// TestValueHeader compiles tdl_value.h in every dialect it is meant for, without a
// warning, and then compares what it reads and writes with what tdl does.
func TestValueHeader(t *testing.T) {
	t.Parallel()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	cc, err := cCompiler()
	if err != nil {
		t.Fatal(err)
	}
	cxx := []string{"c++"}
	if fields := strings.Fields(os.Getenv("CXX")); len(fields) > 0 {
		cxx = fields
	}
	sanitized := []string{"-fsanitize=address,undefined", "-fno-sanitize-recover=all"}
	for _, c := range []struct {
		name     string
		compiler []string
		flags    []string
		optional bool
	}{
		{"C11", cc, []string{"-std=c11", "-O2"}, false},
		{"C11 with sanitizers", cc, append([]string{"-std=c11", "-O1"}, sanitized...), true},
		{"C++11 with sanitizers", cxx, append([]string{"-x", "c++", "-std=c++11", "-O1"}, sanitized...), true},
		{"C++20", cxx, []string{"-x", "c++", "-std=c++20", "-O2"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			b := &cBuild{cc: c.compiler}
			if c.optional {
				empty := filepath.Join(dir, "empty.c")
				if err := os.WriteFile(empty, []byte("int main(void) { return 0; }\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := b.compile(append(c.flags[:len(c.flags):len(c.flags)], "-o", filepath.Join(dir, "empty"), empty)...); err != nil {
					t.Skipf("NOT TESTED: the compiler cannot do it: %v", err)
				}
			}
			program := filepath.Join(dir, "value_test")
			err := b.compile(append(c.flags[:len(c.flags):len(c.flags)], "-g", "-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Wshadow", "-Werror",
				"-I"+filepath.Join(root, "tdl", "cshared"), "-o", program,
				filepath.Join(root, "internal", "tasktest", "testdata", "c", "value_test.c"))...)
			if err != nil {
				t.Fatal(err)
			}
			v := valueTest(program)
			t.Run("copy", v.testCopy)
			t.Run("forms", v.testForms)
			t.Run("refused", v.testRefused)
			t.Run("recorded", v.testRecorded)
			t.Run("deep", v.testDeep)
			t.Run("context", v.testContext)
			t.Run("garbage", func(t *testing.T) { v.run(t, nil, "garbage", "100000") })
			t.Run("faults", func(t *testing.T) { v.run(t, nil, "faults") })
		})
	}
}

type point struct {
	X, Y float64
	Name *string
}

// What Go writes, C reads and writes again, byte for byte; and it refuses every
// part of it.
func (v valueTest) testCopy(t *testing.T) {
	var unsigned, signed, doubles, floats, texts, lists, bytes []any
	for _, n := range []uint64{0, 1, 126, 127, 128, 255, 256, 65535, 65536, 1<<32 - 1, 1 << 32, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		unsigned = append(unsigned, n)
		if n < 1<<63 {
			signed = append(signed, int64(n), -int64(n)-1)
		}
	}
	for _, n := range []int64{-31, -32, -33, -127, -128, -129, -32768, -32769, -1 << 31, -1<<31 - 1} {
		signed = append(signed, n)
	}
	for _, f := range []float64{0, math.Copysign(0, -1), 1.5, -1e300, math.Inf(1), math.MaxFloat64, math.SmallestNonzeroFloat64} {
		doubles = append(doubles, f)
		floats = append(floats, float32(f))
	}
	for _, n := range []int{0, 1, 15, 16, 31, 32, 33, 255, 256, 65535, 65536, 70000} {
		texts = append(texts, strings.Repeat("x", n))
		b, l := make([]byte, n), make([]int64, n)
		for i := range b {
			b[i], l[i] = byte(i), int64(i)-200
		}
		bytes, lists = append(bytes, b), append(lists, l)
	}
	for _, s := range []string{"é", "\u0800\uffff\U00010000\U0010ffff", "\ud7ff\ue000"} {
		texts = append(texts, s)
	}
	name := "here"
	for _, c := range []struct {
		signature string
		values    []any
	}{
		{"u", unsigned}, {"i", signed}, {"d", doubles}, {"f", floats}, {"s", texts}, {"z", texts},
		{"y", bytes}, {"[i", lists}, {"[u", bytes},
		{"s", []any{"a\x00b"}},
		{"b", []any{true, false}},
		{"n", []any{nil}},
		{"8", []any{0, 127, 128, 255}},
		{"7", []any{-128, -1, 0, 127}},
		{"ou", []any{nil, new(uint64)}},
		{"[os", []any{[]*string{nil, &name, nil}}},
		{"(ddos)", []any{point{1, 2, &name}, point{}}},
		{"{s[(ddos)", []any{map[string][]point{}, map[string][]point{"a": {{}, {X: 1}}}}},
		{"{uu", []any{map[uint64]uint64{7: 8}}},
	} {
		for _, value := range c.values {
			in := Inputs(value)
			if out, refused := v.run(t, in, "copy", c.signature); refused || string(out) != string(in) {
				t.Errorf("%s: %.40v: got %.60x, want %.60x", c.signature, value, out, in)
			}
			if len(in) < 3_000 {
				v.run(t, in, "damage", c.signature)
			}
		}
	}
	in := Inputs(1, "two", []byte{3}, nil)
	if out, refused := v.run(t, in, "copy", "usyn"); refused || string(out) != string(in) {
		t.Errorf("four payloads: got %x, want %x", out, in)
	}
	v.run(t, in, "damage", "usyn")
}

// payload is a sequence of one payload.
func payload(value string) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0}, uint32(len(value)))
	return append(b, value...)
}

// Other forms than the one that is written are read too.
func (v valueTest) testForms(t *testing.T) {
	for _, c := range []struct {
		signature, value string
		same             any
	}{
		{"u", "\xcc\x05", 5}, {"u", "\xcd\x00\x05", 5}, {"u", "\xce\x00\x00\x00\x05", 5}, {"u", "\xcf\x00\x00\x00\x00\x00\x00\x00\x05", 5},
		{"u", "\xd0\x05", 5}, {"u", "\xd1\x00\x05", 5}, {"u", "\xd2\x00\x00\x00\x05", 5}, {"u", "\xd3\x00\x00\x00\x00\x00\x00\x00\x05", 5},
		{"u", "\xd1\x00\xff", 255}, {"i", "\xd0\xff", -1}, {"i", "\xd1\xff\xff", -1}, {"i", "\xd2\xff\xff\xff\xff", -1},
		{"i", "\xd3\xff\xff\xff\xff\xff\xff\xff\xff", -1}, {"i", "\xd1\xff\x80", -128}, {"7", "\xd3\xff\xff\xff\xff\xff\xff\xff\x80", -128},
		{"d", "\x05", 5.0}, {"d", "\xff", -1.0}, {"d", "\xca\x3f\xc0\x00\x00", 1.5}, {"d", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff", float64(math.MaxUint64)},
		{"f", "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", float32(1.5)}, {"f", "\xff", float32(-1)},
		// Not by way of a double, which would round twice, or make a signalling NaN quiet.
		{"f", "\xcf\x80\x00\x00\x80\x00\x00\x00\x01", math.Float32frombits(0x5f000001)},
		{"f", "\xd3\x80\x00\x00\x7f\xff\xff\xff\xff", math.Float32frombits(0xdefffffe + 1)},
		{"f", "\xca\xff\x90\x6c\x93", math.Float32frombits(0xff906c93)},
		{"s", "\xd9\x01a", "a"}, {"s", "\xda\x00\x01a", "a"}, {"s", "\xdb\x00\x00\x00\x01a", "a"},
		{"s", "\xc4\x01a", "a"}, {"s", "\xc5\x00\x01a", "a"}, {"z", "\xc6\x00\x00\x00\x01a", "a"},
		{"y", "\xc4\x02\x01\xff", []byte{1, 255}}, {"y", "\xc4\x00", []byte{}}, {"y", "\xdc\x00\x02\xcd\x00\xff\xd0\x01", []byte{255, 1}},
		{"[u", "\xdd\x00\x00\x00\x01\x07", []int{7}}, {"{uu", "\xde\x00\x01\x07\x08", map[int]int{7: 8}}, {"{uu", "\xdf\x00\x00\x00\x01\x07\x08", map[int]int{7: 8}},
		{"u", "\x05 and more", 5},
		// Structs as maps and from binary, also where something follows.
		{"[<a=8b=os>", "\x92\x82\xa1b\xa1x\xa1a\x01\x92\x02\xc0", []any{[]any{1, "x"}, []any{2, nil}}},
		{"(<a=<b=8>c=8>s)", "\x92\x82\x01\x05\x00\x81\xa1b\x06\xa1x", []any{[]any{[]any{6}, 5}, "x"}},
		{"(<>8)", "\x92\x82\xa1a\x01\xcd\x00\x63\x93\x01\x02\x03\x07", []any{[]any{}, 7}},
		{"(<a=o8>8)", "\x92\x80\x07", []any{[]any{nil}, 7}},
		{"(<a=8b=8>8)", "\x92\xc4\x04\xc0\xff\x01\x02\x07", []any{[]any{192, 255}, 7}},
		{"([88)", "\x92\xc4\x02\xc0\xff\x07", []any{[]int{192, 255}, 7}},
		{"([kd)", "\x92\xc4\x02\xc0\xff\x07", []any{[]any{nil, nil}, 7.0}},
		{"([88)", "\x92\xc4\x00\x07", []any{[]int{}, 7}},
		{"(()8)", "\x92\xc4\x02\xc0\xff\x07", []any{[]any{}, 7}},
		{"[c", "\x94\x01\x81\xa3Red\xc0\xde\x00\x01\xc4\x04Blue\xc0\x81\xcc\x03\x07", []any{"Green", "Red", "Blue", map[string]int{"Gray": 7}}},
		{"k", "\xd6\x01abcd", nil}, {"k", "\xc7\x02\x01ab", nil}, {"k", "\xd8\x010123456789abcdef", nil}, {"k", "\x82\xa1a\x91\xc0\x01\xcb12345678", nil},
		{"k", strings.Repeat("\x91", 1023) + "\xc0", nil}, {"k", strings.Repeat("\x81\x01", 1023) + "\xc0", nil},
	} {
		out, refused := v.run(t, payload(c.value), "copy", c.signature)
		if refused || string(out) != string(Inputs(c.same)) {
			t.Errorf("%s from %x: got %q, want %x", c.signature, c.value, out, Inputs(c.same))
		}
	}
	// Bytes after the sequence.
	if out, refused := v.run(t, append(Inputs(1), "more"...), "copy", "u"); refused || string(out) != string(Inputs(1)) {
		t.Errorf("got %x", out)
	}
}

func (v valueTest) testRefused(t *testing.T) {
	const one = "parameter 1 (value): "
	for _, c := range []struct {
		signature string
		in        []byte
		says      string
	}{
		{"u", payload("\xff"), one + "want an unsigned integer, got a negative integer"},
		{"u", payload("\xcb\x40\x14\x00\x00\x00\x00\x00\x00"), one + "want an unsigned integer, got a float"},
		{"i", payload("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), one + "18446744073709551615 is more than"},
		{"8", payload("\xcd\x01\x00"), one + "256 is more than 255"},
		{"7", payload("\xcc\x80"), one + "128 is not between -128 and 127"},
		{"d", payload("\xa1a"), one + "want a number, got a string"},
		{"b", payload("\x01"), one + "want a bool, got an integer"},
		{"n", payload("\x00"), one + "want nil, got an integer"},
		{"s", payload("\xc0"), one + "want a string, got nil"},
		{"s", payload("\xa1\xff"), one + "the string is not UTF-8"},
		{"s", payload("\xa3\xed\xa0\x80"), one + "the string is not UTF-8"},
		{"s", payload("\xa2\xc0\x80"), one + "the string is not UTF-8"},
		{"s", payload("\xa4\xf4\x90\x80\x80"), one + "the string is not UTF-8"},
		{"s", payload("\xc4\x01\xff"), one + "the string is not UTF-8"},
		{"z", payload("\xa1\x00"), one + "the string has a NUL byte in it"},
		{"y", payload("\xa1a"), one + "want bytes, got a string"},
		{"y", payload("\xc0"), one + "want bytes, got nil"},
		{"y", payload("\x00"), one + "want bytes, got an integer"},
		{"y", payload("\x91\xcd\x01\x00"), one + "256 is more than 255"},
		{"[u", payload("\x80"), one + "want a list, got a map"},
		{"[u", payload("\xdd\xff\xff\xff\xff\x01"), one + "the value is cut short"},
		{"{uu", payload("\xdf\xff\xff\xff\xff\x01"), one + "the value is cut short"},
		{"<a=8b=8>", payload("\x93\x01\x02\x03"), one + "want 2 fields, got 3"},
		{"<a=8b=8>", payload("\xc4\x01\x01"), one + "want 2 fields, got 1"},
		{"<a=8b=8>", payload("\xc0"), one + "want a struct, got nil"},
		{"<a=8b=8>", payload("\x81\xa1b\x01"), one + "field a is missing"},
		{"<a=8b=k>", payload("\x81\xa1a\x01"), one + "field b is missing"},
		{"<a=<b=8>>", payload("\x80"), one + "field a is missing"},
		{"<a=c>", payload("\x80"), one + "field a is missing"},
		{"<a=8b=8>", payload("\x83\xa1b\x01\x00\x01\x01\x01"), one + "field b is there twice"},
		{"<a=8>", payload("\x81\xd0\x00\x01"), one + "want the name or the index of a field, got an integer"},
		{"<a=8>", payload("\x81\xc0\x01"), one + "want the name or the index of a field, got nil"},
		{"(u)", payload("\x81\x00\x01"), one + "want a list, got a map"},
		{"[o8", payload("\xc4\x01\x01"), one + "want an array, got a byte of binary"},
		{"[[8", payload("\xc4\x01\x01"), one + "want a list, got an integer"},
		{"[c", payload("\xc4\x01\x01"), one + "want an array, got a byte of binary"},
		{"[7", payload("\xc4\x01\xff"), one + "255 is not between"},
		{"c", payload("\x04"), one + "unknown variant 4"},
		{"c", payload("\xa3red"), one + "unknown variant red"},
		{"c", payload("\xa4Gray"), one + "variant Gray is without its value"},
		{"c", payload("\x81\xa3Red\x01"), one + "want nil, got an integer"},
		{"c", payload("\x82\xa3Red\xc0\xa3Red\xc0"), one + "want a variant, got a map of 2"},
		{"c", payload("\xd0\x01"), one + "want the name or the index of a variant, got an integer"},
		{"{uu", payload("\x90"), one + "want a map, got an array"},
		{"(uu)", payload("\x91\x01"), one + "want 2 fields, got 1"},
		{"k", payload("\xc1"), one + "0xc1 begins no value"},
		{"k", payload("\x91\xc1"), one + "0xc1 begins no value"},
		{"k", payload(""), one + "the value is cut short"},
		{"s", payload("\xd4\x01a"), one + "want a string, got an extension"},
		{"k", payload(strings.Repeat("\x91", 1024) + "\xc0"), one + "more than 1023 nested"},
		{"[u", payload("\x91" + strings.Repeat("\x91", 1_000_000)), one + "more than 1023 nested"},
		{"uu", Inputs(1), "parameter 2 (value): missing, only 1 given"},
		{"u", Inputs(1, 2), `task "copy": inputs: want 1 arguments, got 2`},
		{"", Inputs(1), "want 0 arguments, got 1"},
		{"u", nil, "the inputs are no payload sequence"},
		{"u", []byte{1, 0, 0}, "the inputs are no payload sequence"},
		{"u", []byte{1, 0, 0, 0, 255, 255, 255, 255, 1}, one + "the inputs are cut short"},
		{"uu", append(payload("\xa1a"), 1), one + "want an unsigned integer, got a string"},
	} {
		out, refused := v.run(t, c.in, "copy", c.signature)
		if !refused || !strings.Contains(string(out), "DeserializationError") || !strings.Contains(string(out), c.says) {
			t.Errorf("%s from %.40x: %q, want %q", c.signature, c.in, out, c.says)
		}
	}
}

// What the Rust side was recorded to accept and to refuse is accepted and refused here,
// and read as the same value.
func (v valueTest) testRecorded(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := os.ReadFile(filepath.Join(root, "internal", "msgpack", "testdata", "rmp_serde.txt"))
	if err != nil {
		t.Fatal(err)
	}
	const inner = "<re=fim=d>"
	signatures := map[string]string{
		"u8": "8", "u16": "6", "u64": "u", "i8": "7", "i32": "5", "i64": "i", "f32": "f", "f64": "d", "bool": "b", "string": "s", "unit": "n",
		"opt": "ou", "optopt": "oou", "optstr": "os", "optunit": "on",
		"bytes": "y", "vi8": "[7", "vu16": "[6", "vu64": "[u", "vi64": "[i", "vf32": "[f", "vf64": "[d", "vbool": "[b", "vstr": "[s",
		"vopt": "[o8", "vunit": "[n", "vvu64": "[[u", "vbytes": "[y", "vone": "[<a=8>", "vempty": "[<>",
		"a3u8": "(888)", "a0u8": "()", "a2str": "(ss)", "a2opt": "(o8o8)", "t1": "(u)", "t2": "(us)", "t3": "(8if)", "tups": "(us)",
		"inner": inner, "outer": "<name=sn=5inner=" + inner + "list=[" + inner + "opt=ou>", "one": "<a=8>", "opts": "<a=o8b=oo6c=8>", "empty": "<>",
	}
	var rows strings.Builder
	var values, wants []string
	for line := range strings.Lines(string(recorded)) {
		part := strings.Fields(line)
		if line[0] == '#' || signatures[part[0]] == "" {
			continue
		}
		want := part[2]
		if want == "ok" {
			want = part[3]
		}
		rows.WriteString(signatures[part[0]] + " " + part[1] + "\n")
		values, wants = append(values, part[0]+" "+part[1]), append(wants, want)
	}
	out, _ := v.run(t, []byte(rows.String()), "rows")
	got := strings.Fields(string(out))
	if len(got) != len(wants) || len(got) < 900 {
		t.Fatalf("%d rows, want %d", len(got), len(wants))
	}
	for i := range got {
		if got[i] != wants[i] {
			t.Errorf("%s: got %s, want %s", values[i], got[i], wants[i])
		}
	}
}

// Structs in one another that come as maps are not each skipped to the end of the
// value, which would take a thousand times as long as to read it.
func (v valueTest) testDeep(t *testing.T) {
	const depth, size = 1000, 2 << 20
	const level = "\x83\x07\xc0\xa5value\x01\xa4next"
	big := size - depth*len(level)
	value := strings.Repeat(level, depth) + "\x83\xa5other\xdd" + string(binary.BigEndian.AppendUint32(nil, uint32(big))) +
		strings.Repeat("\xc0", big) + "\xa5value\x02\xa4next\xc0"
	want := payload(strings.Repeat("\x92\x01", depth) + "\x92\x02\xc0")
	cmd := exec.Command(string(v), "copy", "l")
	cmd.Stdin = bytes.NewReader(payload(value))
	out, err := cmd.Output()
	if err != nil || !bytes.Equal(out, want) {
		t.Errorf("got %d bytes, want %d, %v", len(out), len(want), err)
	}
	// Time on a processor, of which 0.1 s are needed, and 13 s the other way.
	if used := cmd.ProcessState.UserTime(); used > 5*time.Second {
		t.Errorf("it took %v", used)
	}
	// Maps of all sizes side by side and in one another, some with what is not read.
	small := "\x82\xa5value\x03\xa4next\x81\xa5value\x04"
	for n := range 40 {
		unread := strings.Repeat("\x81\xc0", n%5) + "\x92" + small + "\xa0"
		value := "\x84\xa4next\x83\xa4next" + small + "\xa1x" + unread + "\xa5value\x02\xa5value\x01\xa1y" + unread +
			"\xa1z" + "\xd9" + string(rune(n)) + strings.Repeat("z", n)
		want := payload("\x92\x01\x92\x02\x92\x03\x92\x04\xc0")
		if out, refused := v.run(t, payload(value), "copy", "l"); refused || !bytes.Equal(out, want) {
			t.Errorf("%x: got %q", value, out)
		}
		v.run(t, payload(value), "damage", "l")
	}
}

func (v valueTest) testContext(t *testing.T) {
	context := func(ctx tdl.TaskContext, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		b, err := ctx.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	const m = "\x85\xa6job_id\x07\xa7task_id\xa6Commit\xb0task_instance_id\x08\xb1resource_group_id\x09"
	for _, c := range []struct {
		in   []byte
		want string
	}{
		{context(tdl.NewTaskContext(1<<64-1, tdl.Index(1<<40), 2, 3)), "18446744073709551615 0 1099511627776 2 3"},
		{context(tdl.NewTaskContext(1, tdl.Cleanup, 2, 3)), "1 2 0 2 3"},
		{context(tdl.NewCommitContext(1, 2, 3, [][]byte{{0xc0}})), "1 1 0 2 3 00 01 00 00 00 01 00 00 00 c0"},
		{[]byte("\x95\x01\x81\x00\x05\x02\x03\xc0"), "1 0 5 2 3"},
		{[]byte("\x95\x01\x02\x02\x03\xc0"), "1 2 0 2 3"},
		{[]byte("\x95\x01\x81\xa6Commit\xc0\x02\x03\xc4\x02\x01\x02"), "1 1 0 2 3 01 02"},
		{[]byte(m + "\xbdserialized_task_graph_outputs\x91\x07"), "7 1 0 8 9 07"},
		{[]byte(m + "\xa5other\x81\x01\xd4\x01\x01"), "7 1 0 8 9"},
		{[]byte("\x84" + m[1:]), "7 1 0 8 9"},
		{[]byte("\x95\x00\xcc\x01\x00\x00\xc0"), "0 1 0 0 0"},
		{[]byte("\x95\x00\x81\xcc\x00\x05\x00\x00\xc0"), "0 0 5 0 0"},
		{[]byte("\x95\x00\xde\x00\x01\xa5Index\x05\x00\x00\xc0"), "0 0 5 0 0"},
		{[]byte("\x95\x00\xdf\x00\x00\x00\x01\xc4\x05Index\x05\x00\x00\xc0"), "0 0 5 0 0"},
		{[]byte("\x95\x00\xcf\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\xc0"), "0 2 0 0 0"},
		{[]byte("\x84\xcc\x00\x01\x01\x81\x00\x05\x02\x02\x03\x03"), "1 0 5 2 3"},
		{[]byte("\x85\xcd\x00\x63\xc0" + m[1:]), "7 1 0 8 9"},
		{[]byte("\xdc\x00\x05\x01\x02\x02\x03\xc0"), "1 2 0 2 3"},
	} {
		out, refused := v.run(t, c.in, "context")
		if got := strings.TrimSpace(string(out)); refused || got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
		v.run(t, c.in, "damage-context")
	}
	for _, bad := range []string{
		"", "\xc0", "\x05", "\x94\x01\xa6Commit\x02\x03", "\x96\x01\xa6Commit\x02\x03\xc0\xc0",
		"\x95\xff\xa6Commit\x02\x03\xc0", "\x95\x01\xa5Index\x02\x03\xc0", "\x95\x01\xa5Other\x02\x03\xc0", "\x95\x01\x03\x02\x03\xc0",
		"\x95\x01\x80\x02\x03\xc0", "\x95\x01\x82\xa5Index\x01\xa5Index\x01\x02\x03\xc0", "\x95\x01\xa6Commit\x02\x03\xa1a",
		"\x83" + m[1:len(m)-19], m + "\xa6job_id\x07", "\xc4\x05\x01\x02\x02\x03\xc0", "\x95\x01\xd0\x02\x02\x03\xc0",
	} {
		out, refused := v.run(t, []byte(bad), "context")
		if !refused || !strings.HasPrefix(string(out), `task "context": task context: `) {
			t.Errorf("%q: %q", bad, out)
		}
		if _, err := tdl.DecodeContext([]byte(bad)); err == nil {
			t.Errorf("%q: accepted in Go", bad)
		}
	}
	// A context of an older SDK.
	if out, _ := v.run(t, []byte("\x94\x01\xa6Commit\x02\x03"), "context"); !strings.Contains(string(out), "want 5 fields, got 4") {
		t.Errorf("a context of 4: %q", out)
	}
}
