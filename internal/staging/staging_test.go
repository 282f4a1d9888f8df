package staging

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/inspect"
	"github.com/spider-go/spider/internal/scaffold"
	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

func built(t *testing.T) tasktest.Built {
	t.Helper()
	b, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// source is a package in C whose one task answers with a number.
func source(t *testing.T, name, number, more string) string {
	t.Helper()
	dir := t.TempDir()
	text := `#include "tdl_value.h"
static SpiderTdlResult number(struct spider_reader *in)
{
	return spider_end(in) ? spider_answer_int(` + number + `) : spider_refusal(in);
}
static const struct spider_task tasks[] = { { "number", number } };
SPIDER_PACKAGE("` + name + `", tasks);
` + more
	if err := os.WriteFile(filepath.Join(dir, "package.c"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	// What the tests of a package are, is not part of it.
	if err := os.WriteFile(filepath.Join(dir, "package_test.c"), []byte("#error this is a test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// build builds into dir, and returns what was printed.
func build(t *testing.T, dir string, cfg Config) ([]Staged, string, error) {
	t.Helper()
	var log bytes.Buffer
	cfg.PackageDir, cfg.Executor, cfg.Log = dir, built(t).Executor, &log
	staged, err := Build(t.Context(), cfg)
	if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	return staged, log.String(), err
}

// A running pool calls the new version as soon as it is in place, and goes on with the
// old one when a build has failed in any way.
func TestRunningPool(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "packages")
	staged, log, err := build(t, dir, Config{Source: source(t, "answers", "1", "")})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if len(staged) != 1 || staged[0].Path != filepath.Join(dir, "answers", "libanswers.so") || staged[0].Replaced || staged[0].Report.Form != inspect.Library {
		t.Errorf("%+v", staged)
	}
	p, err := pool.New(pool.Config{Executor: built(t).Executor, PackageDir: dir, Executors: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(context.Background())
	expect := func(want int64) {
		t.Helper()
		if got, err := pool.Call[int64](t.Context(), p, "answers", "number"); err != nil || got != want {
			t.Errorf("%d, %v, want %d", got, err, want)
		}
	}
	expect(1)

	for name, c := range map[string]struct {
		source string
		says   string
	}{
		"no C":             {source(t, "answers", "nothing", ""), "cc has failed"},
		"undefined":        {source(t, "answers", "elsewhere()", "int elsewhere(void);\n"), "failed"},
		"crashes in init":  {source(t, "answers", "2", "SpiderTdlResult __spider_tdl_package_init(void) { abort(); }\n"), "SIGABRT (aborted) in its init function"},
		"refuses in init":  {source(t, "answers", "2", "SpiderTdlResult __spider_tdl_package_init(void) { return spider_fail(\"not today\"); }\n"), "not today"},
		"crashes at once":  {source(t, "answers", "2", "__attribute__((constructor)) static void c(void) { abort(); }\n"), "while it was opened"},
		"a name of a path": {source(t, "../answers", "2", ""), "contains a '/'"},
	} {
		staged, log, err := build(t, dir, Config{Source: c.source})
		// An undefined function fails in C23 when it is compiled, else when it is loaded.
		if err == nil || len(staged) > 0 || name != "undefined" && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v\n%s", name, err, log)
		}
		expect(1)
	}

	staged, log, err = build(t, dir, Config{Source: source(t, "answers", "2", "")})
	if err != nil || len(staged) != 1 || !staged[0].Replaced {
		t.Fatalf("%+v, %v\n%s", staged, err, log)
	}
	expect(2)

	// What is built already, under whatever name.
	prebuilt := filepath.Join(t.TempDir(), "plugin")
	if err := copyFile(filepath.Join(dir, "answers", "libanswers.so"), prebuilt); err != nil {
		t.Fatal(err)
	}
	if _, log, err = build(t, dir, Config{Source: source(t, "answers", "3", "")}); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	expect(3)
	if staged, log, err = build(t, dir, Config{Source: prebuilt}); err != nil || !staged[0].Replaced {
		t.Fatalf("%+v, %v\n%s", staged, err, log)
	}
	expect(2)
}

// A Go package as a library, then as a program; from then on the library brings the
// program, which is preferred, with it.
func TestGo(t *testing.T) {
	t.Parallel()
	sources, dir := filepath.Join(t.TempDir(), "textstat"), t.TempDir()
	sdk, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := scaffold.New(t.Context(), scaffold.Config{Name: "textstat", Lang: scaffold.Go, Dir: sources, SDK: sdk}); err != nil {
		t.Fatal(err)
	}
	paths := func(staged []Staged) (list []string) {
		for _, s := range staged {
			list = append(list, filepath.Base(s.Path))
		}
		return list
	}
	for _, c := range []struct {
		program bool
		want    string
	}{{false, "libtextstat.so"}, {true, "textstat"}, {false, "libtextstat.so textstat"}} {
		staged, log, err := build(t, dir, Config{Source: sources, Program: c.program})
		if got := strings.Join(paths(staged), " "); err != nil || got != c.want {
			t.Fatalf("%q, %v\n%s", got, err, log)
		}
		for _, s := range staged {
			if s.Report.Description == nil || len(s.Report.Description.Tasks) != 1 {
				t.Errorf("%s: %+v", s.Path, s.Report)
			}
		}
	}

	// Registered wrongly: found by loading it.
	main := filepath.Join(sources, "main.go")
	text, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(main, bytes.Replace(text, []byte(`tdl.Params("path")`), []byte(`tdl.Params("a", "b")`), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	before := contents(t, dir)
	for _, program := range []bool{false, true} {
		staged, _, err := build(t, dir, Config{Source: sources, Program: program})
		var refused *RefusedError
		if !errors.As(err, &refused) || len(staged) > 0 || !strings.Contains(err.Error(), "Params names 2 parameters") {
			t.Errorf("%v, %v", staged, err)
		}
	}
	if after := contents(t, dir); after != before {
		t.Errorf("replaced by a package that does not load:\n%s%s", before, after)
	}
}

// contents tells the files of dir apart by their inodes and times.
func contents(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("ls", "-liR", "--time-style=full-iso", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestRust(t *testing.T) {
	t.Parallel()
	if reason, err := tasktest.FetchCrates(); err != nil {
		t.Fatal(err)
	} else if reason != "" {
		t.Skip(reason)
	}
	sources, dir := filepath.Join(t.TempDir(), "textstat"), t.TempDir()
	if _, err := scaffold.New(t.Context(), scaffold.Config{Name: "textstat", Lang: scaffold.Rust, Dir: sources}); err != nil {
		t.Fatal(err)
	}
	staged, log, err := build(t, dir, Config{Source: sources})
	if err != nil || len(staged) != 1 || staged[0].Path != filepath.Join(dir, "textstat", "libtextstat.so") || staged[0].Report.Build.Language != "Rust" {
		t.Fatalf("%+v, %v\n%s", staged, err, log)
	}
	if err := os.WriteFile(filepath.Join(sources, "src", "lib.rs"), []byte("nonsense"), 0o644); err != nil {
		t.Fatal(err)
	}
	var failed *FailedError
	if _, log, err = build(t, dir, Config{Source: sources}); !errors.As(err, &failed) || !strings.Contains(log, "nonsense") {
		t.Errorf("%v\n%s", err, log)
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	for name, cfg := range map[string]Config{
		"nowhere":        {Source: filepath.Join(empty, "x")},
		"nothing":        {Source: empty},
		"a program in C": {Source: source(t, "x", "1", ""), Program: true},
	} {
		var usage *UsageError
		dir := t.TempDir()
		if _, _, err := build(t, dir, cfg); !errors.As(err, &usage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	file := filepath.Join(empty, "text")
	if err := os.WriteFile(file, []byte("no library"), 0o644); err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if _, _, err := build(t, t.TempDir(), Config{Source: file}); !errors.As(err, &refused) {
		t.Errorf("a text file: %v", err)
	}
}

// What hangs in init is refused in time; the end of the context ends a build.
func TestEndless(t *testing.T) {
	t.Parallel()
	hangs := source(t, "hangs", "1", "#include <unistd.h>\nSpiderTdlResult __spider_tdl_package_init(void) { for (;;) pause(); }\n")
	var refused *RefusedError
	if _, _, err := build(t, t.TempDir(), Config{Source: hangs, Timeout: time.Second}); !errors.As(err, &refused) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	_, err := Build(ctx, Config{Source: hangs, PackageDir: dir, Executor: built(t).Executor, Log: &bytes.Buffer{}})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if found, _ := os.ReadDir(dir); len(found) > 0 {
		t.Errorf("left behind: %v", found)
	}
}

// What a killed build has left is removed by the next one; what another one still uses
// is not.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "with [special] characters*")
	if err := os.MkdirAll(filepath.Join(dir, scratchPattern+"killed", "include"), 0o755); err != nil {
		t.Fatal(err)
	}
	used, release, err := scratchFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	other, releaseOther, err := scratchFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	found, err := os.ReadDir(dir)
	if err != nil || len(found) != 2 {
		t.Errorf("%v, %v", found, err)
	}
	for _, f := range []func() error{release, releaseOther} {
		if err := f(); err != nil {
			t.Error(err)
		}
	}
	if found, _ := os.ReadDir(dir); len(found) > 0 || used == other {
		t.Errorf("%v", found)
	}
}
