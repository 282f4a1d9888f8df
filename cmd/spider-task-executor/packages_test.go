package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

func TestPackageThatDoesNotLoad(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, c := range []struct {
		pkg   string
		kind  pool.ErrorKind
		texts []string
	}{
		{"not_there", pool.InvalidLibrary, []string{"not_there", "no file"}},
		{"text_file", pool.InvalidLibrary, []string{"text_file"}},
		{"empty_file", pool.InvalidLibrary, []string{"empty_file"}},
		{"directory", pool.InvalidLibrary, []string{"directory", "regular file"}},
		{"no_version", pool.InvalidLibrary, []string{"__spider_tdl_package_get_version"}},
		{"no_name", pool.InvalidLibrary, []string{"__spider_tdl_package_get_name"}},
		{"no_execute", pool.InvalidLibrary, []string{"__spider_tdl_package_execute"}},
		{"undefined_symbol", pool.InvalidLibrary, []string{"undefined symbol"}},
		{"needs_missing_library", pool.InvalidLibrary, []string{"cannot open shared object"}},
		{"other_name", pool.InvalidLibrary, []string{"other_name", "declared_name"}},
		{"empty_name", pool.InvalidLibrary, []string{"empty_name", `""`}},
		{"wrong_major", pool.IncompatibleVersion, []string{"9.8.7", "0.1.0"}},
		{"wrong_minor", pool.IncompatibleVersion, []string{"0.2.0", "0.1.0"}},
		{"bad_utf8_name", pool.InvalidUtf8, nil},
		{"init_fails", pool.PackageInitError, nil},
		{"init_fails_no_execute", pool.PackageInitError, nil},
		{"init_fails_garbage", pool.ErrorPayloadDeserializationFailure, []string{"init_fails_garbage"}},
		{"init_fails_empty", pool.ErrorPayloadDeserializationFailure, []string{"init_fails_empty"}},
	} {
		// Not cached: the second time says the same.
		for range 2 {
			e.refused(c.kind, c.pkg+"/ok", c.texts...)
		}
	}
	for _, pkg := range []string{"patch_differs", "no_init", "init_ok_zero_len", "init_payload"} {
		e.must(pkg + "/ok")
	}
	if n := e.number("init_counts/init_calls"); n != 1 {
		t.Errorf("init ran %d times", n)
	}
	e.must("init_counts/ok")
	if n := e.number("init_counts/init_calls"); n != 1 {
		t.Errorf("init ran %d times", n)
	}
}

func TestPackageThatCrashesOnLoad(t *testing.T) {
	t.Parallel()
	for _, pkg := range []string{"init_crashes", "constructor_crashes"} {
		if exit := start(t).crash(pkg + "/ok"); exit.Signal != syscall.SIGSEGV {
			t.Errorf("%s: %v", pkg, exit)
		}
	}
}

func TestPackageNames(t *testing.T) {
	t.Parallel()
	// A directory beside which there is a package that a bad name could reach.
	root := t.TempDir()
	dir := filepath.Join(root, "packages")
	copyFile(t, library("no_init"), filepath.Join(root, "outside", "liboutside.so"))
	copyFile(t, library("no_init"), filepath.Join(dir, "lib.so"))
	copyFile(t, library("no_init"), filepath.Join(dir, "no_init", "libno_init.so"))
	e := start(t, withDir(dir))
	for _, name := range []string{
		"", ".", "..", "/", "../outside", "/etc", filepath.Join(root, "outside"), "no_init/", "./no_init",
		"no_init/../no_init", "no_init\x00", "\x00", strings.Repeat("x", 5000), "..\\outside", "*", "%s%n",
	} {
		request := pool.Request{Package: name, Task: "ok"}
		request.Context, request.Inputs = contextAndInputs()
		_, err := e.Execute(request, patience)
		e.wantFailure(err, pool.InvalidLibrary)
	}
	e.must("no_init/ok")
}

// A load that failed is tried again, also when the file has been replaced by one
// that is good.
func TestFailedLoadIsTriedAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := start(t, withDir(dir))
	e.refused(pool.InvalidLibrary, "no_init/ok", "no file")
	target := filepath.Join(dir, "no_init", "libno_init.so")
	for _, bad := range []struct {
		pkg  string
		kind pool.ErrorKind
	}{
		{"text_file", pool.InvalidLibrary},
		{"wrong_major", pool.IncompatibleVersion},
		{"wrong_minor", pool.IncompatibleVersion},
		{"patch_differs", pool.InvalidLibrary}, // declares another name
	} {
		copyFile(t, library(bad.pkg), target)
		e.refused(bad.kind, "no_init/ok")
		e.refused(bad.kind, "no_init/ok")
	}
	copyFile(t, library("no_init"), target)
	e.must("no_init/ok")
	// Loaded now, and kept, whatever happens to the file.
	if err := os.Remove(target); err != nil {
		t.Fatal(err)
	}
	e.must("no_init/ok")
}

// A library that has been copied in part is an error at any length, not a SIGBUS.
func TestTruncatedLibrary(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(library("no_init"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	e := start(t, withDir(dir))
	for percent := range 70 {
		name := fmt.Sprintf("cut%d", percent)
		file := filepath.Join(dir, name, "lib"+name+".so")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content[:len(content)*percent/100], 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := e.run(name + "/ok")
		e.wantFailure(err, pool.InvalidLibrary, name)
	}
}

func TestInitHook(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.must("integration_test_tasks/assert_initialized")
	e = start(t, withEnv("SPIDER_TEST_TDL_INIT_SHOULD_FAIL=1"))
	for range 2 {
		e.refused(pool.PackageInitError, "integration_test_tasks/assert_initialized", "init failure requested")
	}
}

func TestTaskErrors(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, variant := range []string{"TaskNotFound", "DeserializationError", "SerializationError", "ExecutionError", "InvalidTaskContext", "Custom"} {
		_, err := e.run("fail", variant, "text of "+variant)
		failure := e.wantFailure(err, pool.TaskError, "text of "+variant)
		if failure.Err == nil || string(failure.Err.Kind) != variant || failure.Err.Message != "text of "+variant {
			t.Errorf("%s: %#v", variant, failure.Err)
		}
	}
	for _, task := range []string{"fail_garbage", "fail_unknown_variant", "fail_truncated", "fail_not_utf8", "error_zero_len"} {
		e.refused(pool.ErrorPayloadDeserializationFailure, task, "misbehave", task)
	}
	e.refused(pool.TaskError, "no_such_task", "no_such_task")
	e.refused(pool.TaskError, "integration_test_tasks/no_such_task", "no_such_task")
	e.refused(pool.TaskError, "integration_test_tasks/always_fail", "always_fail")
	_, err := e.run("integration_test_tasks/fibonacci", "ten")
	e.wantFailure(err, pool.TaskError, "fibonacci", "parameter 1", "deserialization error")
	_, err = e.run("integration_test_tasks/fibonacci", 1, 2)
	e.wantFailure(err, pool.TaskError, "fibonacci", "deserialization error")
}

// The order of the checks is task, context, inputs, and a context is checked also
// where the task does not look at it.
func TestOrderOfChecks(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, c := range []struct {
		task            string
		context, inputs []byte
		says            string
	}{
		{"no_such_task", nil, nil, "task not found"},
		{"fibonacci", nil, nil, "task context"},
		{"fibonacci", []byte{0x94, 0, 0xa6, 'C', 'o', 'm', 'm', 'i', 't', 0, 0}, nil, "expected"},
		{"fibonacci", tasktest.Context(), nil, "inputs"},
		{"fibonacci", tasktest.Context(), []byte{1, 0, 0, 0, 9, 0, 0, 0}, "inputs"},
		{"fibonacci", tasktest.Context(), []byte{0xff, 0xff, 0xff, 0xff}, "inputs"},
	} {
		_, err := e.Execute(pool.Request{Package: "integration_test_tasks", Task: c.task, Context: c.context, Inputs: c.inputs}, patience)
		e.wantFailure(err, pool.TaskError, c.says)
	}
}

// A pointer whose length is 0 means nothing, in both directions. (That none
// becomes a Go pointer is tested beside the code that sees to it, in
// internal/loader and tdl/cshared.)
func TestZeroLengthPointers(t *testing.T) {
	t.Parallel()
	e := start(t, withEnv("GOGC=1"))
	for range 100 {
		e.refused(pool.ErrorPayloadDeserializationFailure, "error_zero_len")
	}
	if out := e.must("output_zero_len"); len(out) != 0 {
		t.Fatalf("outputs %x", out)
	}
	for _, task := range []string{"inputs_ptr_info", "ctx_ptr_info"} {
		result, err := e.Execute(pool.Request{Package: "misbehave", Task: task}, patience)
		if err != nil {
			t.Fatal(err)
		}
		var valid, n uint64
		if err := tasktest.Outputs(result.Outputs, &valid, &n); err != nil || valid != 1 || n != 0 {
			t.Fatalf("%s: pointer valid %d, length %d, %v", task, valid, n, err)
		}
	}
}

// A forked child that comes back from the task must not answer too.
func TestForkedChildDoesNotAnswer(t *testing.T) {
	t.Parallel()
	e := start(t)
	for range 10 {
		child := pidfd(t, e.number("fork_return"))
		if !ended(child, patience) {
			t.Error("the child lives on")
		}
		if n := one[string](e, "echo", "in order"); n != "in order" {
			t.Fatalf("answered %q", n)
		}
	}
}

// A result that cannot be is an error, and the process lives on.
func TestImpossibleResults(t *testing.T) {
	t.Parallel()
	e := start(t)
	for _, task := range []string{"output_null", "output_endless"} {
		e.refused(pool.TaskError, task, "misbehave", task, "cannot be")
	}
	e.must("getpid")
}

func TestTwoPackages(t *testing.T) {
	t.Parallel()
	e := start(t)
	thread := e.number("last_thread_id")
	for range 100 {
		e.must("gobehave/now")
		if fib := e.number("integration_test_tasks/fibonacci", uint64(10)); fib != 55 {
			t.Fatalf("fibonacci(10) = %d", fib)
		}
		if id := e.number("last_thread_id"); id != thread || id != uint64(e.PID()) {
			t.Fatalf("task ran on thread %d, not on %d", id, thread)
		}
	}
}

func TestNoGrowth(t *testing.T) {
	t.Parallel()
	e := start(t)
	requests := 10_000
	if testing.Short() {
		requests = 1_000
	}
	work := func(n int) {
		for i := range n {
			e.must("echo", "some text", i)
			e.must("integration_test_tasks/fibonacci", uint64(1))
		}
	}
	work(1_000)
	fds, threads, memory := usage(t, e.PID())
	work(requests / 2)
	fds2, threads2, memory2 := usage(t, e.PID())
	// A Go runtime may add a thread or two in its own time.
	if fds2 > fds || threads2 > threads+2 || memory2 > memory+8<<10 {
		t.Errorf("descriptors %d to %d, threads %d to %d, resident %d to %d KiB", fds, fds2, threads, threads2, memory, memory2)
	}
	t.Logf("descriptors %d, threads %d, resident %d KiB after %d requests", fds2, threads2, memory2, requests)
}

// usage is what a process uses: memory in KiB.
func usage(t *testing.T, pid int) (fds, threads, memory int) {
	t.Helper()
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	open, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	running, err := os.ReadDir(filepath.Join(dir, "task"))
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			memory, _ = strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		}
	}
	return len(open), len(running), memory
}

func library(pkg string) string {
	return filepath.Join(built.Packages, pkg, "lib"+pkg+".so")
}

// copyFile installs a file as one should: under another name, then by rename.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to+".new", content, 0o755)
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	if err != nil {
		t.Fatal(err)
	}
}
