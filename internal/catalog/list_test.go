package catalog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestList(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(path string, mode os.FileMode) {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("12345"), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("both/libboth.so", 0o644)
	write("both/both", 0o755)
	write("library/liblibrary.so", 0o644)
	write("program/program", 0o755)
	write("not_executable/not_executable", 0o644)
	write("half/libhalf.so", 0o644)
	write("half/half", 0o644)
	write("renamed/libother.so", 0o644)
	write("something/README", 0o644)
	write("file", 0o644)
	write(".hidden/libhidden.so", 0o644)
	write("empty_file/libempty_file.so", 0o644)
	if err := os.Truncate(filepath.Join(dir, "empty_file/libempty_file.so"), 0); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"empty", "directory/libdirectory.so"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"dangling":                          "nowhere",
		"linked":                            "library",
		"dangling_file/libdangling_file.so": "nowhere",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	then := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(filepath.Join(dir, "library/liblibrary.so"), then, then); err != nil {
		t.Fatal(err)
	}

	entries, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	type form struct {
		library, program bool
		problem          string
	}
	want := map[string]form{
		"both":           {library: true, program: true},
		"library":        {library: true},
		"program":        {program: true},
		"not_executable": {problem: "not executable"},
		"half":           {library: true, problem: "not executable"},
		"renamed":        {problem: "there is libother.so, but it must be called librenamed.so"},
		"something":      {problem: "neither libsomething.so nor a program something"},
		"file":           {problem: "not a directory"},
		"empty_file":     {problem: "is empty"},
		"empty":          {problem: "the directory is empty"},
		"directory":      {problem: "not a regular file"},
		"dangling":       {problem: "is a link to nowhere, which does not exist"},
		"linked":         {problem: "there is liblibrary.so"},
		"dangling_file":  {problem: "is a link to nowhere, which does not exist"},
	}
	before := ""
	for _, e := range entries {
		if e.Name < before {
			t.Errorf("%s after %s", e.Name, before)
		}
		before = e.Name
		w, ok := want[e.Name]
		if !ok {
			t.Errorf("%s is listed", e.Name)
			continue
		}
		delete(want, e.Name)
		if got := (form{e.Library != nil, e.Program != nil, e.Problem}); got.library != w.library || got.program != w.program ||
			(got.problem == "") != (w.problem == "") || !strings.Contains(got.problem, w.problem) {
			t.Errorf("%s: %+v, want %+v", e.Name, got, w)
		}
		if e.Usable() != (w.library || w.program) {
			t.Errorf("%s: usable is %t", e.Name, e.Usable())
		}
		if e.Name == "library" {
			if l := e.Library; l.Path != filepath.Join(dir, "library/liblibrary.so") || l.Size != 5 || !l.Modified.Equal(then) {
				t.Errorf("%+v", l)
			}
		}
	}
	for name := range want {
		t.Errorf("%s is not listed", name)
	}

	if _, err := List(filepath.Join(dir, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}
