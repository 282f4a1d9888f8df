package batch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spider-go/spider/internal/record"
	"github.com/spider-go/spider/pool"
)

// resumed runs n inputs with an earlier output; those of which fails says so fail.
func resumed(t *testing.T, path string, again bool, n int64, fails func(index int64) bool) (*Earlier, []int64, error) {
	t.Helper()
	e, err := Open(path, again)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var ran []int64
	cfg := Config{
		Pool: fakePool(func(_ context.Context, index int64, r pool.Request) (pool.Result, error) {
			ran = append(ran, index)
			if fails(index) {
				return pool.Result{}, crash(syscall.SIGSEGV)
			}
			return pool.Result{Outputs: r.Inputs}, nil
		}),
		Package: "p", Task: "t", Output: e, Jobs: 1, Window: 10,
	}
	cfg.Source = e.Rest(&cfg, &numbers{n: n}, 5)
	err = New(cfg).Run(t.Context())
	return e, ran, err
}

func never(int64) bool { return false }
func odd(i int64) bool { return i%2 == 1 }

// outcomes reads an output and checks that each of n inputs is there once.
func outcomes(t *testing.T, path string, n int64) map[int64]record.Outcome {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := map[int64]record.Outcome{}
	records := parse(t, text)
	for _, r := range records {
		got[*r.Index] = r.Outcome
	}
	if len(records) != int(n) || len(got) != int(n) {
		t.Errorf("%d records of %d inputs, want %d", len(records), len(got), n)
	}
	return got
}

func TestResume(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out")
	// A new file.
	_, ran, err := resumed(t, path, false, 10, odd)
	if err != nil || !slices.Equal(ran, upTo(10)) {
		t.Fatalf("%v, %v", ran, err)
	}
	// Nothing is left to do.
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e, ran, err := resumed(t, path, false, 10, never)
	if err != nil || len(ran) > 0 || e.Succeeded != 5 || e.Failed != 5 {
		t.Errorf("%v, %v, %+v", ran, err, e)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Errorf("%q became %q", before, after)
	}
	// More inputs than before.
	if _, ran, err := resumed(t, path, false, 12, never); err != nil || !slices.Equal(ran, []int64{10, 11}) {
		t.Errorf("%v, %v", ran, err)
	}
	// Only what failed, of which some still does.
	e, ran, err = resumed(t, path, true, 12, func(i int64) bool { return i == 5 })
	if err != nil || !slices.Equal(ran, []int64{1, 3, 5, 7, 9}) || e.Again != 5 || e.Succeeded != 7 {
		t.Errorf("%v, %v, %+v", ran, err, e)
	}
	for i, outcome := range outcomes(t, path, 12) {
		want := record.OK
		if i == 5 {
			want = record.Crash
		}
		if outcome != want {
			t.Errorf("input %d: %s", i, outcome)
		}
	}
}

// A file that ends anywhere, as after a kill in the middle of a write, is completed.
func TestResumeCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if _, _, err := resumed(t, path, false, 6, odd); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	// Somebody else's, which no name of the copy may lead to.
	precious := filepath.Join(dir, "precious")
	if err := errors.Join(os.WriteFile(precious, []byte("precious"), 0o600), os.Symlink(precious, path+".resume")); err != nil {
		t.Fatal(err)
	}
	for n := 0; n <= len(whole); n += 29 {
		for _, again := range []bool{false, true} {
			// A killed attempt may have left its copy.
			if err := errors.Join(os.WriteFile(path, whole[:n], 0o600), os.WriteFile(filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".resume-123"), []byte("left"), 0o600)); err != nil {
				t.Fatal(err)
			}
			e, _, err := resumed(t, path, again, 6, odd)
			if err != nil {
				t.Fatalf("cut at %d: %v", n, err)
			}
			if half := int64(n - 1 - bytes.LastIndexByte(whole[:n], '\n')); e.Cut != half {
				t.Errorf("cut at %d: %d bytes cut off, want %d", n, e.Cut, half)
			}
			outcomes(t, path, 6)
		}
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if text, err := os.ReadFile(precious); err != nil || string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("%q, %v", left, err)
	}
}

func TestResumeOtherInputs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out")
	if _, _, err := resumed(t, path, false, 50, never); err != nil {
		t.Fatal(err)
	}
	// The record of input 0 is taken out, so that there is something to run.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text = text[bytes.IndexByte(text, '\n')+1:]
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	var other *OtherInputsError
	if _, ran, err := resumed(t, path, false, 49, never); !errors.As(err, &other) || other.Index != 49 || other.Inputs != 49 || len(ran) > 0 {
		t.Errorf("fewer inputs: %v, %v", ran, err)
	}
	for name, change := range map[string]func(*Config){
		"task":      func(c *Config) { c.Task = "u" },
		"package":   func(c *Config) { c.Package = "q" },
		"arguments": func(c *Config) { c.Arguments.After = [][]byte{{1}} },
		"inputs": func(c *Config) {
			c.Source = sourceFunc(func(context.Context) (Input, error) { return Input{Index: 1, Text: []byte("[77]")}, nil })
		},
	} {
		e, err := Open(path, false)
		if err != nil {
			t.Fatal(err)
		}
		cfg := Config{Pool: fakePool(func(context.Context, int64, pool.Request) (pool.Result, error) {
			t.Errorf("%s: something was run", name)
			return pool.Result{}, nil
		}), Package: "p", Task: "t", Output: e, Jobs: 1, Source: &numbers{n: 50}}
		change(&cfg)
		cfg.Source = e.Rest(&cfg, cfg.Source, 5)
		if err := New(cfg).Run(t.Context()); !errors.As(err, &other) || other.Index != 1 {
			t.Errorf("%s: %v", name, err)
		}
		e.Close()
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(text, after) {
		t.Error("the file has changed")
	}
}

// What is no output of a map is refused, and left as it is.
func TestResumeForeign(t *testing.T) {
	t.Parallel()
	const good = `{"index":3,"input":"00000000000000ff","outcome":"ok","results":[]}` + "\n"
	for _, test := range []struct{ text, want string }{
		{"hello\n", "line 1 is no record of spider map"},
		{good + "\n" + good, "line 2 is no record of spider map"},
		{good + good, "line 2 is a second record of input 3"},
		{`{"outcome":"ok","input":"00000000000000ff"}` + "\n", "line 1 lacks what a record of spider map has"},
		{`{"index":-1,"outcome":"ok","input":"00000000000000ff"}` + "\n", "line 1 lacks"},
		{`{"index":1,"outcome":"ok","input":"ff"}` + "\n", "line 1 lacks"},
		{`{"index":1,"outcome":"ok","input":"zz000000000000ff"}` + "\n", "line 1 lacks"},
		{`{"index":1e99,"outcome":"ok","input":"00000000000000ff"}` + "\n", "line 1 is no record"},
		{good[:20] + "\x00" + good[20:], "line 1 is no record"},
		{`[1]` + "\n" + strings.Repeat("x", 1000), "line 1 is no record"},
	} {
		path := filepath.Join(t.TempDir(), "out")
		if err := os.WriteFile(path, []byte(test.text), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, again := range []bool{false, true} {
			_, err := Open(path, again)
			var unfit *EarlierError
			if !errors.As(err, &unfit) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%q: %v", test.text, err)
			}
		}
		if after, _ := os.ReadFile(path); string(after) != test.text {
			t.Errorf("%q became %q", test.text, after)
		}
	}
	var unfit *EarlierError
	if _, err := Open("/dev/null", false); !errors.As(err, &unfit) {
		t.Errorf("/dev/null: %v", err)
	}
	if _, err := Open(t.TempDir(), false); err == nil {
		t.Error("a directory was opened")
	}
}

// Two programs do not continue one file, even if one replaces it meanwhile.
func TestResumeLocked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, link := filepath.Join(dir, "out"), filepath.Join(dir, "link")
	if _, _, err := resumed(t, path, false, 3, odd); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("out", link); err != nil {
		t.Fatal(err)
	}
	for _, again := range []bool{false, true} {
		e, err := Open(link, again)
		if err != nil {
			t.Fatal(err)
		}
		var unfit *EarlierError
		if _, err := Open(path, false); !errors.As(err, &unfit) || !strings.Contains(err.Error(), "another program") {
			t.Errorf("%v", err)
		}
		e.Close()
	}
	if target, err := os.Readlink(link); err != nil || target != "out" {
		t.Errorf("%q, %v", target, err)
	}
	if got := outcomes(t, path, 2); got[1] != "" {
		t.Errorf("%v", got)
	}
}

func FuzzEarlier(f *testing.F) {
	line := func(index int64, outcome string) string {
		return fmt.Sprintf(`{"index":%d,"input":"%016x","outcome":"%s"}`+"\n", index, index, outcome)
	}
	f.Add([]byte(line(0, "ok")+line(1, "crash")+line(2, "ok")), false)
	f.Add([]byte(line(5, "ok")+line(1<<62, "timeout")+`{"ind`), true)
	f.Add([]byte("\n"), true)
	f.Fuzz(func(t *testing.T, text []byte, again bool) {
		path := filepath.Join(t.TempDir(), "out")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := Open(path, again)
		after, unread := os.ReadFile(path)
		if unread != nil {
			t.Fatal(unread)
		}
		if err != nil {
			if !bytes.Equal(text, after) {
				t.Errorf("refused (%v), and changed to %q", err, after)
			}
			return
		}
		e.Close()
		if !again || e.Again == 0 {
			if want := text[:len(text)-int(e.Cut)]; !bytes.Equal(after, want) {
				t.Errorf("%q became %q, want %q", text, after, want)
			}
		}
		// What is left is whole, and all of it is kept when it is opened once more.
		once, err := Open(path, again)
		if err != nil {
			t.Fatalf("opened once more: %v", err)
		}
		defer once.Close()
		if once.Cut != 0 || once.Again != 0 || once.Succeeded != e.Succeeded || once.Failed != e.Failed {
			t.Errorf("%+v after %+v", once, e)
		}
	})
}
