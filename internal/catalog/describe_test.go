package catalog_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/catalog"
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

func TestDescribe(t *testing.T) {
	t.Parallel()
	b := built(t)
	library := catalog.Source{Dir: b.Packages, Executor: b.Executor, PreferLibrary: true}
	for _, c := range []struct {
		from catalog.Source
		name string
		task string
	}{
		{library, "gobehave", "nil_dereference"},
		{library, "checksum", "crc32"},
		{library, "logsearch", "search"},
		{catalog.Source{Dir: b.SelfHosted}, "gobehave", "nil_dereference"},
		{catalog.Source{Dir: b.Packages}, "logsearch", "search"},
		// The program needs no executor, so what it is does not matter.
		{catalog.Source{Dir: b.Packages, Executor: "nowhere"}, "logsearch", "search"},
	} {
		d, err := catalog.Describe(t.Context(), c.from, c.name)
		if err != nil {
			t.Errorf("%s in %+v: %v", c.name, c.from, err)
			continue
		}
		found := false
		for _, task := range d.Tasks {
			found = found || task.Name == c.task
		}
		if d.Name != c.name || !found {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
}

func TestNoDescription(t *testing.T) {
	t.Parallel()
	b := built(t)
	for name, want := range map[string]struct {
		reason catalog.Reason
		signal syscall.Signal
		says   string
	}{
		"misbehave":             {catalog.NotDescribed, 0, "does not describe itself"},
		"constructor_forks":     {catalog.NotDescribed, 0, "does not describe itself"},
		"describe_newer":        {catalog.NotDescribed, 0, "in form 2"},
		"nowhere":               {catalog.NotFound, 0, "there is no"},
		"../misbehave":          {catalog.NotFound, 0, "contains a '/'"},
		"":                      {catalog.NotFound, 0, "is empty"},
		"text_file":             {catalog.Unusable, 0, "cannot be used: "},
		"empty_file":            {catalog.Unusable, 0, "is empty"},
		"directory":             {catalog.Unusable, 0, "not a regular file"},
		"wrong_major":           {catalog.Unusable, 0, "9.8.7"},
		"other_name":            {catalog.Unusable, 0, "declared_name"},
		"needs_missing_library": {catalog.Unusable, 0, "libabsent_dependency.so"},
		"undefined_symbol":      {catalog.Unusable, 0, "spider_tasktest_exists_nowhere"},
		"gofaulty":              {catalog.Unusable, 0, "twice"},
		"describe_fails":        {catalog.Unusable, 0, "describe refuses"},
		"describe_garbage":      {catalog.Unusable, 0, "not JSON"},
		"describe_empty":        {catalog.Nonsense, 0, `"describe" is missing`},
		"describe_long":         {catalog.Nonsense, 0, "more than 4194304 bytes"},
		"constructor_exits":     {catalog.Crashed, 0, "exited with status 7"},
		"constructor_crashes":   {catalog.Crashed, syscall.SIGSEGV, "SIGSEGV"},
		"describe_crashes":      {catalog.Crashed, syscall.SIGABRT, "SIGABRT (aborted): describe gives up"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := catalog.Describe(t.Context(), catalog.Source{Dir: b.Packages, Executor: b.Executor}, name)
			var fault *catalog.DescribeError
			if d != nil || !errors.As(err, &fault) {
				t.Fatalf("%v, %v", d, err)
			}
			if fault.Reason != want.reason || fault.Signal != want.signal || fault.Package != name || !strings.Contains(err.Error(), want.says) {
				t.Errorf("reason %d, signal %v, %v; want %+v", fault.Reason, fault.Signal, err, want)
			}
		})
	}
}

// A program's answers, and those of an executor that is none.
func TestProgramsThatDoNotDescribe(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		reason catalog.Reason
		says   string
	}{
		"knows_no_flag":  {"echo unknown flag >&2; exit 2", catalog.NotDescribed, "does not describe itself"},
		"serves":         {"exec cat", catalog.NotDescribed, "does not describe itself"},
		"is_wrong":       {"echo it is wrong >&2; exit 1", catalog.Unusable, "cannot be used: it is wrong"},
		"has_no_words":   {"exit 1", catalog.Unusable, "cannot be used"},
		"kills_itself":   {"kill -9 $$", catalog.Crashed, "SIGKILL"},
		"greets":         {"echo hello", catalog.Nonsense, "6 bytes that are no description"},
		"says_a_list":    {"echo '[]'", catalog.Nonsense, "no description"},
		"is_another":     {`echo '{"describe":1,"name":"me","tasks":[]}'`, catalog.Nonsense, `describes itself as "me"`},
		"writes_forever": {"exec yes", catalog.Nonsense, "more than 4194304 bytes"},
		"panics":         {"printf 'panic: oh\\n\\ngoroutine 1\\n' >&2; kill -ABRT $$", catalog.Crashed, "panic: oh"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			program(t, catalog.ProgramPath(dir, name), c.script)
			_, err := catalog.Describe(t.Context(), catalog.Source{Dir: dir}, name)
			var fault *catalog.DescribeError
			if !errors.As(err, &fault) || fault.Reason != c.reason || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}

	b := built(t)
	for _, c := range []struct {
		executor string
		reason   catalog.Reason
	}{
		{"", catalog.NoExecutor},
		{"/nowhere/executor", catalog.Unusable},
		{"cat", catalog.Unusable}, // it knows no --describe: status 1
		{"true", catalog.NotDescribed},
	} {
		_, err := catalog.Describe(t.Context(), catalog.Source{Dir: b.Packages, Executor: c.executor}, "misbehave")
		var fault *catalog.DescribeError
		if !errors.As(err, &fault) || fault.Reason != c.reason {
			t.Errorf("executor %q: %v", c.executor, err)
		}
	}
}

func program(t *testing.T, path, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// Under the fork lock: a child forked meanwhile would hold the file open for
	// writing, and a file that is cannot be started.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// What hangs ends at the timeout, with all that it has started.
func TestHung(t *testing.T) {
	t.Parallel()
	b := built(t)
	dir := t.TempDir()
	program(t, catalog.ProgramPath(dir, "sleeper"), "sleep 1000 & wait")
	for name, from := range map[string]catalog.Source{
		"constructor_hangs": {Dir: b.Packages, Executor: b.Executor},
		"describe_hangs":    {Dir: b.Packages, Executor: b.Executor},
		"sleeper":           {Dir: dir},
	} {
		from.Timeout = 300 * time.Millisecond
		_, err := catalog.Describe(t.Context(), from, name)
		var fault *catalog.DescribeError
		if !errors.As(err, &fault) || fault.Reason != catalog.Hung || !strings.Contains(err.Error(), "within 300ms") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a package leaves behind in its group is killed.
func TestNothingIsLeft(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program(t, catalog.ProgramPath(dir, "forks"), `sleep 1000 & echo $! >"$SPIDER_TDL_PACKAGE_DIR/pid"; exit 2`)
	_, err := catalog.Describe(t.Context(), catalog.Source{Dir: dir}, "forks")
	var fault *catalog.DescribeError
	if !errors.As(err, &fault) || fault.Reason != catalog.NotDescribed {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, strings.TrimSpace(string(text)))
}

// await waits until a process is gone or a zombie that somebody else reaps.
func await(t *testing.T, pid string) {
	t.Helper()
	n := 0
	for _, digit := range pid {
		n = n*10 + int(digit-'0')
	}
	fd, err := unix.PidfdOpen(n, 0)
	if errors.Is(err, unix.ESRCH) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for {
		ready, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if ready == 0 {
			t.Errorf("process %s lives on", pid)
		}
		return
	}
}

// The end of the context ends it, with the context's error.
func TestCancelled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, catalog.ProgramPath(dir, "hangs"), `echo here >"$SPIDER_TDL_PACKAGE_DIR/fifo"; exec sleep 1000`)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = os.ReadFile(fifo) // it runs
		cancel()
	}()
	if _, err := catalog.Describe(ctx, catalog.Source{Dir: dir}, "hangs"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
