package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/tasktest"
)

func built(t *testing.T) tasktest.Built {
	t.Helper()
	b, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// links is a package directory with these packages of the tests.
func links(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		if err := os.Symlink(filepath.Join(built(t).Packages, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func examine(t *testing.T, cfg Config) (findings []Finding, find func(check string) Finding) {
	t.Helper()
	cfg.Timeout = time.Minute
	findings, err := Examine(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return findings, func(check string) Finding {
		for _, f := range findings {
			if f.Check == check {
				return f
			}
		}
		return Finding{}
	}
}

func TestWell(t *testing.T) {
	t.Parallel()
	findings, find := examine(t, Config{Executor: built(t).Executor, PackageDir: links(t, "checksum", "logsearch")})
	if !Usable(findings) {
		t.Errorf("%+v", findings)
	}
	for check, says := range map[string]string{
		"Go": "go1.", "C compiler": "", "Go SDK": "/", "executor": "first answer after", "package directory": "2 of 2 packages load",
		"kernel": "Linux", "pidfd": "", "memfd": "", "Landlock": "", "open files": "", "processes": "", "pipes": "", "core dumps": "", "cargo": "",
	} {
		f := find(check)
		if f.Check == "" || f.Found == "" || !strings.Contains(f.Found, says) || f.Level == Fail {
			t.Errorf("%s: %+v, want %q", check, f, says)
		}
	}
	for _, f := range findings {
		if f.Level == OK && f.Advice != "" || strings.Contains(f.Found, "\n") {
			t.Errorf("%+v", f)
		}
	}
}

func TestPackagesThatFail(t *testing.T) {
	t.Parallel()
	findings, find := examine(t, Config{Executor: built(t).Executor,
		PackageDir: links(t, "checksum", "other_name", "init_crashes", "needs_missing_library", "directory")})
	if Usable(findings) {
		t.Error("usable")
	}
	for check, want := range map[string]Finding{
		"package other_name":            {"", Fail, "declares the name declared_name", "move it there"},
		"package init_crashes":          {"", Fail, "SIGSEGV", "spider inspect init_crashes"},
		"package needs_missing_library": {"", Fail, "libabsent_dependency.so", "install the library libabsent_dependency.so"},
		"package directory":             {"", Note, "1 of 5 packages load", ""},
	} {
		if f := find(check); f.Level != want.Level || !strings.Contains(f.Found, want.Found) || !strings.Contains(f.Advice, want.Advice) {
			t.Errorf("%s: %+v, want %+v", check, f, want)
		}
	}
}

func TestExecutorsThatFail(t *testing.T) {
	t.Parallel()
	dir := links(t, "checksum")
	for name, c := range map[string]struct {
		cfg  Config
		says string
	}{
		"none":     {Config{Missing: "there is none"}, "there is none"},
		"nowhere":  {Config{Executor: "/nowhere/at/all"}, "cannot start"},
		"silent":   {Config{Executor: "true"}, "ended without an answer"},
		"nonsense": {Config{Executor: "cat"}, "protocol"},
	} {
		c.cfg.PackageDir = dir
		findings, find := examine(t, c.cfg)
		f := find("executor")
		if f.Level != Fail || !strings.Contains(f.Found, c.says) || f.Advice == "" || Usable(findings) {
			t.Errorf("%s: %+v, want %q", name, f, c.says)
		}
		if p := find("package directory"); p.Level != Note || !strings.Contains(p.Found, "1 were not tried") {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestDirectories(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	for dir, level := range map[string]Level{filepath.Join(empty, "nowhere"): Fail, os.DevNull: Fail, empty: Note} {
		if _, find := examine(t, Config{Executor: built(t).Executor, PackageDir: dir}); find("package directory").Level != level || find("package directory").Advice == "" {
			t.Errorf("%s: %+v", dir, find("package directory"))
		}
	}
}

// Without compilers packages can still be run.
func TestNoCompilers(t *testing.T) {
	dir, executor := links(t, "checksum"), built(t).Executor
	t.Setenv("PATH", t.TempDir())
	t.Setenv("CC", "")
	findings, find := examine(t, Config{Executor: executor, PackageDir: dir})
	if !Usable(findings) {
		t.Errorf("%+v", findings)
	}
	for _, check := range []string{"Go", "C compiler", "cargo"} {
		if f := find(check); f.Level != Note || f.Advice == "" {
			t.Errorf("%+v", f)
		}
	}
	t.Setenv("CC", "/bin/false")
	if _, find := examine(t, Config{Executor: executor, PackageDir: dir}); !strings.Contains(find("C compiler").Found, "cannot build a library") {
		t.Errorf("%+v", find("C compiler"))
	}
}

func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Examine(ctx, Config{Executor: built(t).Executor, PackageDir: built(t).Packages, Timeout: time.Minute}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
