package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spider-go/spider/tdl"
	"github.com/spider-go/spider/tdl/tdltest"
)

func TestScan(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text, pattern string
		limit               int
		want                Result
	}{
		{"empty file", "", ".*", 10, Result{First: []Match{}}},
		{"numbers", "a\nb\nab\n", "a", 10,
			Result{Lines: 3, Bytes: 7, Matched: 2, First: []Match{{1, "a"}, {3, "ab"}}}},
		{"no final newline", "a\nb", "b", 10,
			Result{Lines: 2, Bytes: 3, Matched: 1, First: []Match{{2, "b"}}}},
		{"CRLF", "a\r\nb\r\n", "^b$", 10,
			Result{Lines: 2, Bytes: 6, Matched: 1, First: []Match{{2, "b"}}}},
		{"only one line end is cut", "a\r\r\nb\r", "", 10,
			Result{Lines: 2, Bytes: 6, Matched: 2, First: []Match{{1, "a\r"}, {2, "b\r"}}}},
		{"empty lines", "\n\r\n\n", "^$", 10,
			Result{Lines: 3, Bytes: 4, Matched: 3, First: []Match{{1, ""}, {2, ""}, {3, ""}}}},
		{"a pattern sees one line", "a\nb\n", `a\sb|\n`, 10,
			Result{Lines: 2, Bytes: 4, First: []Match{}}},
		{"no match", "a\n", "z", 10,
			Result{Lines: 1, Bytes: 2, First: []Match{}}},
		{"limit 0 counts", "a\na\n", "a", 0,
			Result{Lines: 2, Bytes: 4, Matched: 2, First: []Match{}}},
		{"limit below the matches", "a\na\na\n", "a", 2,
			Result{Lines: 3, Bytes: 6, Matched: 3, First: []Match{{1, "a"}, {2, "a"}}}},
		{"not UTF-8", "a\xffb\xc3\n", "b", 10,
			Result{Lines: 1, Bytes: 5, Matched: 1, First: []Match{{1, "a\uFFFDb\uFFFD"}}}},
		{"NUL", "a\x00b\n", "b", 10,
			Result{Lines: 1, Bytes: 4, Matched: 1, First: []Match{{1, "a\x00b"}}}},
		{"as long as is answered", strings.Repeat("x", maxText), "x", 10,
			Result{Lines: 1, Bytes: maxText, Matched: 1, First: []Match{{1, strings.Repeat("x", maxText)}}}},
		{"longer than is answered", strings.Repeat("x", maxText) + "y", "y", 10,
			Result{Lines: 1, Bytes: maxText + 1, Matched: 1, First: []Match{{1, strings.Repeat("x", maxText) + "..."}}}},
		{"cut between characters", strings.Repeat("x", maxText-1) + "é", "é", 10,
			Result{Lines: 1, Bytes: maxText + 1, Matched: 1, First: []Match{{1, strings.Repeat("x", maxText-1) + "..."}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := scan(strings.NewReader(c.text), regexp.MustCompile(c.pattern), c.limit)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Lines around and far beyond the reader's buffer are searched whole and counted
// once, and leave the lines around them alone.
func TestScanLongLines(t *testing.T) {
	t.Parallel()
	const buffer = 256 << 10
	for _, length := range []int{buffer - 2, buffer - 1, buffer, buffer + 1, 2*buffer - 1, 2 * buffer, 5*buffer + 17} {
		for _, end := range []string{"\n", "\r\n", ""} {
			text := "before\n" + strings.Repeat("x", length-len("end")) + "end" + end
			want := Result{Lines: 2, Bytes: uint64(len(text)), Matched: 1,
				First: []Match{{2, strings.Repeat("x", maxText) + "..."}}}
			if end != "" {
				text += "the end" + end
				want.Bytes, want.Lines, want.Matched = uint64(len(text)), 3, 2
				want.First = append(want.First, Match{3, "the end"})
			}
			got, err := scan(strings.NewReader(text), regexp.MustCompile("end$"), 10)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%d bytes, line end %q: %s", length, end, diff)
			}
		}
	}
}

type brokenReader struct{}

var errBroken = errors.New("broken as asked")

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

func TestScanReadError(t *testing.T) {
	t.Parallel()
	if _, err := scan(brokenReader{}, regexp.MustCompile("x"), 1); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	if err := os.WriteFile(path, []byte("error: 1\nfine\nerror: 2\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := search(path, "^error", maxLimit)
	want := Result{Lines: 3, Bytes: 23, Matched: 2, First: []Match{{1, "error: 1"}, {3, "error: 2"}}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}

	refused := &tdl.Error{Kind: tdl.ExecutionError}
	for _, c := range []struct {
		name, path, pattern string
		limit               uint64
		is                  error
		says                string
	}{
		{"limit beyond", path, "x", maxLimit + 1, refused, "4000"},
		{"limit far beyond", path, "x", 1<<64 - 1, refused, "4000"},
		{"bad pattern", path, "(", 1, refused, "pattern"},
		{"missing file", filepath.Join(dir, "missing"), "x", 1, os.ErrNotExist, "missing"},
		{"no path", "", "x", 1, os.ErrNotExist, ""},
		{"folder", dir, "x", 1, nil, dir},
	} {
		_, err := search(c.path, c.pattern, c.limit)
		if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// The task answers the same in the test's process, as a library in the executor, and
// as a program.
func TestTask(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("error: 1\nfine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		on   func(testing.TB) *tdltest.Runner
	}{{"in process", tdltest.InProcess}, {"in executor", tdltest.InExecutor}, {"self-hosted", tdltest.SelfHosted}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			runner := c.on(t)
			var got Result
			want := Result{Lines: 2, Bytes: 14, Matched: 1, First: []Match{{1, "error: 1"}}}
			if err := runner.Call("search", path, "^error", 10).Into(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if err := runner.Call("search", path, "(", 10).Err; !errors.Is(err, tdl.ExecutionError) {
				t.Errorf("a bad pattern: %v", err)
			}
			if err := runner.Call("search", path, 5, 10).Err; !errors.Is(err, tdl.DeserializationError) || !strings.Contains(err.Error(), "2 of 3, pattern") {
				t.Errorf("a pattern that is no text: %v", err)
			}
			if err := runner.Call("Search").Err; !errors.Is(err, tdl.TaskNotFound) {
				t.Errorf("another task: %v", err)
			}
		})
	}
}
