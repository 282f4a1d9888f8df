package scaffold

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// clone is this repository.
func clone(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// run runs a command of an author, which must go well, and must not need the network.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPROXY=off", "GOWORK=off", "GOFLAGS=", "CARGO_NET_OFFLINE=true")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

// write makes a new package, and checks that all its files are there, and nothing else.
func write(t *testing.T, cfg Config) *Written {
	t.Helper()
	w, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	err = filepath.WalkDir(cfg.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(cfg.Dir, path)
			found = append(found, rel)
			text, _ := os.ReadFile(path)
			if bytes.Contains(text, []byte("{{")) && !strings.HasSuffix(path, "tdl.rs") {
				t.Errorf("%s is not filled in", rel)
			}
		}
		return err
	})
	slices.Sort(found)
	if written := slices.Sorted(slices.Values(w.Files)); err != nil || !slices.Equal(found, written) {
		t.Errorf("%v: found %q, told %q", err, found, written)
	}
	return w
}

// A new package in Go is tidy, formatted, and its tests pass.
func TestNewGo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "textstat")
	w := write(t, Config{Name: "textstat", Lang: Go, Dir: dir, SDK: clone(t)})
	if w.SDK != clone(t) || w.Module != "example.com/textstat" || w.Workspace != "" {
		t.Errorf("%+v", w)
	}
	run(t, dir, "go", "mod", "tidy", "-diff")
	run(t, dir, "go", "vet", "./...")
	if out := run(t, dir, "gofmt", "-l", "."); out != "" {
		t.Errorf("not formatted: %s", out)
	}
	if out := run(t, dir, "go", "test", "-v", "."); !strings.Contains(out, "--- PASS: TestStats/in_executor") {
		t.Errorf("go test: %s", out)
	}
}

// Inside a module that is built with the SDK already, no other one is made.
func TestNewGoInsideAModule(t *testing.T) {
	t.Parallel()
	outer := filepath.Join(t.TempDir(), "outer")
	write(t, Config{Name: "outer", Lang: Go, Dir: outer, SDK: clone(t), Module: "example.org/mine"})
	inner := filepath.Join(outer, "cmd", "inner")
	w, err := New(t.Context(), Config{Name: "inner", Lang: Go, Dir: inner})
	if err != nil {
		t.Fatal(err)
	}
	if w.SDK != "" || w.Module != "example.org/mine" || slices.Contains(w.Files, "go.mod") {
		t.Errorf("%+v", w)
	}
	run(t, inner, "go", "test", "-short", ".")

	// In one that is not, there is.
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "go.mod"), []byte("module example.org/other\n\ngo 1.26\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "go.work"), []byte("go 1.26\n\nuse .\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w = write(t, Config{Name: "apart", Lang: Go, Dir: filepath.Join(other, "apart"), SDK: clone(t)})
	if w.SDK == "" || w.Module != "example.com/apart" || w.Workspace != filepath.Join(other, "go.work") {
		t.Errorf("%+v", w)
	}
}

func TestNewC(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "textstat")
	write(t, Config{Name: "textstat", Lang: C, Dir: dir})
	if out := run(t, dir, "make", "test", "CFLAGS=-O1 -Werror -fsanitize=address,undefined"); !strings.Contains(out, "\nok\n") {
		t.Errorf("make test: %s", out)
	}
	run(t, dir, "make", "CFLAGS=-O2 -Werror")
	run(t, dir, "make", "install", "PACKAGE_DIR=packages")
	run(t, dir, "make", "install", "PACKAGE_DIR=packages")
	if found, _ := filepath.Glob(filepath.Join(dir, "packages", "textstat", "*")); len(found) != 1 || filepath.Base(found[0]) != "libtextstat.so" {
		t.Errorf("installed: %q", found)
	}
	run(t, dir, "make", "clean")
}

func TestNewRust(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("cargo"); err != nil {
		t.Skip("there is no cargo on PATH")
	}
	dir := filepath.Join(t.TempDir(), "textstat")
	write(t, Config{Name: "textstat", Lang: Rust, Dir: dir})
	fetch := exec.Command("cargo", "fetch")
	fetch.Dir = dir
	if out, err := fetch.CombinedOutput(); err != nil {
		t.Skipf("cargo fetch: %v\n%s", err, out)
	}
	if out := run(t, dir, "cargo", "test", "--offline"); !strings.Contains(out, "2 passed") || strings.Contains(out, "warning") {
		t.Errorf("cargo test: %s", out)
	}
}

// Nothing is overwritten, and what fails leaves nothing behind.
func TestNothingIsOverwritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine := filepath.Join(dir, "README.md")
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	var occupied *OccupiedError
	for _, lang := range []Language{Go, C, Rust} {
		if _, err := New(t.Context(), Config{Name: "x", Lang: lang, Dir: dir, SDK: clone(t)}); !errors.As(err, &occupied) || !strings.Contains(err.Error(), "README.md") {
			t.Errorf("%s: %v", lang, err)
		}
	}
	if _, err := New(t.Context(), Config{Name: "x", Lang: C, Dir: mine}); err == nil {
		t.Error("a file for a folder")
	}
	if text, _ := os.ReadFile(mine); string(text) != "mine" {
		t.Errorf("%q", text)
	}
	if found, _ := os.ReadDir(dir); len(found) != 1 {
		t.Errorf("left behind: %v", found)
	}

	// A module path that is none is found out by the go command, after the files.
	made := filepath.Join(dir, "a", "b")
	if _, err := New(t.Context(), Config{Name: "x", Lang: Go, Dir: made, SDK: clone(t), Module: "not a path"}); err == nil {
		t.Error("a module path with spaces")
	}
	if found, _ := os.ReadDir(dir); len(found) != 1 {
		t.Errorf("left behind: %v", found)
	}

	var name *NameError
	if _, err := New(t.Context(), Config{Name: "a-b", Lang: Go, Dir: filepath.Join(dir, "c")}); !errors.As(err, &name) {
		t.Error(err)
	}
	var noSDK *NoSDKError
	if _, err := New(t.Context(), Config{Name: "x", Lang: Go, Dir: filepath.Join(dir, "c"), SDK: dir}); !errors.As(err, &noSDK) || noSDK.Given != dir {
		t.Error(err)
	}
	if found, _ := os.ReadDir(dir); len(found) != 1 {
		t.Errorf("left behind: %v", found)
	}
	// An empty folder will do.
	empty := t.TempDir()
	write(t, Config{Name: "x", Lang: C, Dir: empty})
}

func TestFindSDK(t *testing.T) {
	if dir, err := FindSDK(""); err != nil || dir != clone(t) {
		t.Errorf("where this was built: %q, %v", dir, err)
	}
	t.Setenv(EnvSDK, clone(t)+"/internal/..")
	if dir, err := FindSDK(""); err != nil || dir != clone(t) {
		t.Errorf("from the environment: %q, %v", dir, err)
	}
	t.Setenv(EnvSDK, t.TempDir())
	var none *NoSDKError
	if _, err := FindSDK(""); !errors.As(err, &none) || none.Given != os.Getenv(EnvSDK) {
		t.Errorf("an environment that is wrong: %v", err)
	}
	if dir, err := FindSDK(clone(t)); err != nil || dir != clone(t) {
		t.Errorf("given: %q, %v", dir, err)
	}
}

// What is copied into packages is what the SDK and the examples have.
func TestCopies(t *testing.T) {
	t.Parallel()
	for copied, original := range map[string]string{
		"c/tdl.h":       "tdl/cshared/tdl.h",
		"c/tdl_value.h": "tdl/cshared/tdl_value.h",
		"rust/tdl.rs":   "examples/wordcount/src/tdl.rs",
	} {
		want, err := os.ReadFile(filepath.Join(clone(t), original))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(template(copied), want) {
			t.Errorf("templates/%s is not %s: copy it", copied, original)
		}
	}
}
