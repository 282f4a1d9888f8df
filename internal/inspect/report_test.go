package inspect

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func options(t testing.TB) Options {
	t.Helper()
	return Options{Executor: built(t).Executor}
}

func TestFile(t *testing.T) {
	t.Parallel()
	b := built(t)
	for path, want := range map[string]struct {
		verdict   Verdict
		reason    string
		name      string
		misplaced string
		tasks     bool
		silence   string
	}{
		library(t, "checksum"):              {Loads, "", "checksum", "", true, ""},
		library(t, "gobehave"):              {Loads, "", "gobehave", "", true, ""},
		library(t, "misbehave"):             {Loads, "", "misbehave", "", false, "does not describe itself"},
		library(t, "constructor_forks"):     {Loads, "", "constructor_forks", "", false, "does not describe itself"},
		library(t, "describe_crashes"):      {Loads, "", "describe_crashes", "", false, "SIGABRT"},
		library(t, "describe_fails"):        {Loads, "", "describe_fails", "", false, "describe refuses"},
		library(t, "describe_garbage"):      {Loads, "", "describe_garbage", "", false, "not JSON"},
		library(t, "describe_empty"):        {Loads, "", "describe_empty", "", false, "no description"},
		library(t, "describe_newer"):        {Loads, "", "describe_newer", "", false, "form 2"},
		library(t, "other_name"):            {Loads, "", "declared_name", "DIR/declared_name/libdeclared_name.so", false, ""},
		library(t, "empty_name"):            {Refused, "is empty", "", "", false, ""},
		library(t, "wrong_major"):           {Refused, "9.8.7", "", "", false, ""},
		library(t, "no_version"):            {Refused, "__spider_tdl_package_get_version", "", "", false, ""},
		library(t, "no_execute"):            {Refused, "__spider_tdl_package_execute", "no_execute", "", false, ""},
		library(t, "init_fails"):            {Refused, "init refuses", "init_fails", "", false, ""},
		library(t, "init_fails_no_execute"): {Refused, "init refuses", "init_fails_no_execute", "", false, ""},
		library(t, "init_crashes"):          {Refused, "SIGSEGV (segmentation fault) in its init function", "init_crashes", "", false, ""},
		library(t, "constructor_crashes"):   {Refused, "SIGSEGV (segmentation fault) while it was opened", "", "", false, ""},
		library(t, "constructor_exits"):     {Refused, "exited with status 7 while it was opened", "", "", false, ""},
		library(t, "undefined_symbol"):      {Refused, "undefined symbol", "", "", false, ""},
		library(t, "needs_missing_library"): {Refused, "libabsent_dependency.so", "", "", false, ""},
		library(t, "text_file"):             {Refused, "not an ELF file", "", "", false, ""},
		library(t, "empty_file"):            {Refused, "the file is empty", "", "", false, ""},
		library(t, "gofaulty"):              {Refused, "registered wrongly", "gofaulty", "", false, ""},

		filepath.Join(b.SelfHosted, "gorecover/gorecover"): {Loads, "", "gorecover", "", true, ""},
		filepath.Join(b.SelfHosted, "gofaulty/gofaulty"):   {Refused, "registered wrongly", "gofaulty", "", false, ""},
	} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			r, err := File(t.Context(), path, options(t))
			if err != nil {
				t.Fatal(err)
			}
			if r.Verdict != want.verdict || !strings.Contains(r.Reason, want.reason) || r.Name != want.name || !strings.Contains(r.Misplaced, want.misplaced) ||
				want.misplaced == "" && r.Misplaced != "" || (r.Description != nil) != want.tasks || !strings.Contains(r.Silence, want.silence) ||
				r.Usable() != (want.verdict == Loads && want.misplaced == "") {
				t.Errorf("verdict %q, reason %q, name %q, misplaced %q, silence %q, %v; want %+v",
					r.Verdict, r.Reason, r.Name, r.Misplaced, r.Silence, r.Description, want)
			}
			if r.ABI != "" && !strings.Contains(r.ABI, ".") || r.ABI == "0.0.0" {
				t.Errorf("ABI %q", r.ABI)
			}
			if r.Description == nil && r.Silence == "" {
				t.Error("no description, and no reason")
			}
		})
	}
}

// What hangs is killed, and the step it hung in is told.
func TestHung(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]string{
		"constructor_hangs": "while it was opened",
		"init_hangs":        "in its init function",
	} {
		o := options(t)
		// Time to come to that step, on a machine that is busy.
		o.Timeout = 2 * time.Second
		r, err := File(t.Context(), library(t, name), o)
		if err != nil || r.Verdict != Refused || !strings.Contains(r.Reason, "killed after 2s "+where) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	o := options(t)
	o.Timeout = 2 * time.Second
	r, err := File(t.Context(), library(t, "describe_hangs"), o)
	if err != nil || r.Verdict != Loads || !strings.Contains(r.Silence, "killed after 2s while it described itself") {
		t.Errorf("describe_hangs: %+v, %v", r, err)
	}
}

// A file that lies elsewhere, under another name.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	link := func(from, to string) string {
		t.Helper()
		to = filepath.Join(dir, to)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(from, to); err != nil {
			t.Fatal(err)
		}
		return to
	}
	program := filepath.Join(built(t).SelfHosted, "gorecover/gorecover")
	for path, misplaced := range map[string]string{
		link(library(t, "checksum"), "x/libchecksum.so"):     "DIR/checksum/libchecksum.so",
		link(library(t, "checksum"), "plugin.so.1"):          "DIR/checksum/libchecksum.so",
		link(library(t, "checksum"), "other/libother.so"):    "declares the name checksum",
		link(library(t, "checksum"), "checksum/checksum.so"): "DIR/checksum/libchecksum.so",
		link(program, "renamed"):                             "DIR/gorecover/gorecover",
	} {
		r, err := File(t.Context(), path, options(t))
		if err != nil || r.Verdict != Loads || !strings.Contains(r.Misplaced, misplaced) || r.Usable() || r.Description == nil {
			t.Errorf("%s: %+v, %v", path, r, err)
		}
	}
	r, err := File(t.Context(), link(library(t, "checksum"), "y/checksum/libchecksum.so"), options(t))
	if err != nil || !r.Usable() {
		t.Errorf("in its place: %+v, %v", r, err)
	}
}

// What is no package is not started; what may be one is.
func TestPrograms(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	script := func(path, text string) string {
		t.Helper()
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		// A child that is forked meanwhile would hold the file open for writing.
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	touched := filepath.Join(dir, "touched")
	r, err := File(t.Context(), script("stray", "touch "+touched), options(t))
	if err != nil || r.Verdict != Refused || !strings.Contains(r.Reason, "not started") {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := os.Stat(touched); err == nil {
		t.Error("a program was started that nothing says is a package")
	}

	gorecover := filepath.Join(built(t).SelfHosted, "gorecover/gorecover")
	for path, want := range map[string]struct {
		verdict Verdict
		reason  string
	}{
		script("gorecover/gorecover", `exec "`+gorecover+`" "$@"`): {Loads, ""},
		script("silent/silent", ""):                                {Refused, "exit status 0"},
		script("talks/talks", "echo hello; cat >/dev/null"):        {Refused, "does not speak the protocol"},
	} {
		r, err := File(t.Context(), path, options(t))
		if err != nil || r.Verdict != want.verdict || !strings.Contains(r.Reason, want.reason) || r.Build.Language != "script" {
			t.Errorf("%s: %+v, %v", path, r, err)
		}
	}
}

func TestNotTried(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    Options
		says string
	}{
		"static":      {Options{Executor: built(t).Executor, Static: true}, "none of its code was run"},
		"no executor": {Options{Missing: "there is none"}, "there is none"},
		"another":     {Options{Executor: "true"}, "does not know --examine"},
		"nowhere":     {Options{Executor: "/nowhere"}, "cannot start"},
	} {
		r, err := File(t.Context(), library(t, "checksum"), c.o)
		if err != nil || r.Verdict != NotTried || !strings.Contains(r.Reason, c.says) || r.Description != nil || r.Misplaced != "" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := File(t.Context(), filepath.Join(t.TempDir(), "x"), options(t)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := File(ctx, library(t, "init_hangs"), options(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	b := built(t)
	dir := t.TempDir()
	for _, name := range []string{"checksum", "init_fails", "logsearch"} {
		if err := os.Symlink(filepath.Join(b.Packages, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// The program is good, the library beside it is not.
	if err := os.Mkdir(filepath.Join(dir, "gorecover"), 0o755); err != nil {
		t.Fatal(err)
	}
	for to, from := range map[string]string{
		"gorecover":       filepath.Join(b.SelfHosted, "gorecover/gorecover"),
		"libgorecover.so": library(t, "gofaulty"),
	} {
		if err := os.Symlink(from, filepath.Join(dir, "gorecover", to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "nothing"), 0o755); err != nil {
		t.Fatal(err)
	}
	packages, err := Directory(t.Context(), dir, options(t))
	if err != nil {
		t.Fatal(err)
	}
	trouble := map[string]string{"checksum": "", "gorecover": "the library beside the program", "init_fails": "init refuses", "logsearch": "", "nothing": "empty"}
	for _, p := range packages {
		want, ok := trouble[p.Name]
		if got := p.Trouble(); !ok || !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", p.Name, got, want)
		}
		delete(trouble, p.Name)
		if (p.Preferred() == nil) != (p.Name == "nothing") || p.Name == "logsearch" && p.Preferred().Form != Program {
			t.Errorf("%s: %+v", p.Name, p.Preferred())
		}
	}
	if len(trouble) > 0 {
		t.Errorf("not there: %v", trouble)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Directory(ctx, dir, options(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
