package pool_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/pool"
)

const staged = "gobehave"

// stageExecutor makes dir/gobehave/gobehave a copy of the executor, beside the
// library that it serves.
func stageExecutor(t *testing.T) (dir, program string) {
	t.Helper()
	built, dir := build(t), t.TempDir()
	program = filepath.Join(dir, staged, staged)
	if err := os.Mkdir(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	library := filepath.Join(staged, "lib"+staged+".so")
	if err := os.Symlink(filepath.Join(built.Packages, library), filepath.Join(dir, library)); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(built.Executor)
	if err != nil {
		t.Fatal(err)
	}
	writeProgram(t, program, content)
	return dir, program
}

// writeProgram keeps the parallel tests from forking meanwhile: their children would
// hold the file open for writing, and it could not be started.
func writeProgram(t *testing.T, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// mustRun checks that the process serves the package, and which program it is.
func mustRun(t *testing.T, p *pool.Process, program, image string) {
	t.Helper()
	if p.Program() != program {
		t.Errorf("program %q, want %q", p.Program(), program)
	}
	if _, err := p.Execute(taskOf(staged, "now"), patience); err != nil {
		t.Fatal(err)
	}
	if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.PID())); err != nil || exe != image {
		t.Errorf("it runs %q, %v, want %q", exe, err, image)
	}
}

func TestStagedProgram(t *testing.T) {
	t.Parallel()
	built := build(t)
	dir, program := stageExecutor(t)
	elsewhere, _ := os.Getwd()
	relative, err := filepath.Rel(elsewhere, dir)
	if err != nil {
		t.Fatal(err)
	}
	selfHosted := filepath.Join(built.SelfHosted, staged, staged)
	variable := "SPIDER_TDL_PACKAGE_DIR="
	for _, c := range []struct {
		name string
		cfg  pool.ProcessConfig
		want string
	}{
		{"beside the library", pool.ProcessConfig{Executor: built.Executor, Package: staged, PackageDir: dir}, program},
		{"no executor", pool.ProcessConfig{Package: staged, PackageDir: dir}, program},
		{"an executor that does not exist", pool.ProcessConfig{Executor: "/no/such", Package: staged, PackageDir: dir}, program},
		{"relative directory", pool.ProcessConfig{Package: staged, PackageDir: relative}, program},
		{"another PWD", pool.ProcessConfig{Package: staged, PackageDir: relative, Env: []string{"PWD=/tmp"}}, program},
		{"directory in Env", pool.ProcessConfig{Package: staged, Env: []string{variable + dir}}, program},
		{"the last in Env", pool.ProcessConfig{Package: staged, Env: []string{variable + built.SelfHosted, variable + dir}}, program},
		{"PackageDir over Env", pool.ProcessConfig{Package: staged, PackageDir: dir, Env: []string{variable + built.SelfHosted}}, program},
		{"instead of the library", pool.ProcessConfig{Package: staged, PackageDir: built.SelfHosted}, selfHosted},
		{"no package", pool.ProcessConfig{Executor: built.Executor, PackageDir: dir}, built.Executor},
		{"only a library", pool.ProcessConfig{Executor: built.Executor, Package: staged, PackageDir: built.Packages}, built.Executor},
		{"another package's program", pool.ProcessConfig{Executor: built.Executor, Package: "misbehave", PackageDir: dir}, built.Executor},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mustRun(t, startPackage(t, c.cfg), c.want, c.want)
		})
	}
}

// The inherited environment counts if Env is nil, and only then.
func TestStagedInInheritedEnvironment(t *testing.T) {
	dir, program := stageExecutor(t)
	t.Setenv("SPIDER_TDL_PACKAGE_DIR", dir)
	p, err := pool.StartProcess(pool.ProcessConfig{Package: staged})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	mustRun(t, p, program, program)

	none, err := pool.StartProcess(pool.ProcessConfig{Package: staged, Env: []string{}})
	var spawn *pool.SpawnError
	if none != nil || !errors.As(err, &spawn) || spawn.Executor != "" || !strings.Contains(err.Error(), "no package directory") {
		t.Errorf("with an empty environment: %v", err)
	}
}

// Any program will do, also a script.
func TestStagedScript(t *testing.T) {
	t.Parallel()
	built := build(t)
	dir := t.TempDir()
	program := filepath.Join(dir, staged, staged)
	if err := os.Mkdir(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	writeProgram(t, program, []byte("#!/bin/sh\necho staged as \"$0\" >&2\nexec \"$REAL\"\n"))
	real := filepath.Join(built.SelfHosted, staged, staged)
	p := startPackage(t, pool.ProcessConfig{Package: staged, PackageDir: dir, Env: append(os.Environ(), "REAL="+real)})
	mustRun(t, p, program, real)
	p.Shutdown()
	if lines := p.StderrTail(); len(lines) != 1 || lines[0] != "staged as "+program {
		t.Errorf("stderr: %q", lines)
	}
}

// A program that serves no such package says so; a program that is none is not
// passed over in silence.
func TestWrongStagedProgram(t *testing.T) {
	t.Parallel()
	built, dir := build(t), t.TempDir()
	program := filepath.Join(dir, "p", "p")
	if err := os.Mkdir(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	cfg := pool.ProcessConfig{Executor: built.Executor, Package: "p", PackageDir: dir}
	writeProgram(t, program, []byte("\x7fELF, or nearly"))
	p, err := pool.StartProcess(cfg)
	var spawn *pool.SpawnError
	if p != nil || !errors.As(err, &spawn) || spawn.Executor != program || !errors.Is(err, syscall.ENOEXEC) {
		t.Errorf("got %v", err)
	}

	if err := os.Remove(program); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(built.SelfHosted, staged, staged), program); err != nil {
		t.Fatal(err)
	}
	_, err = startPackage(t, cfg).Execute(taskOf("p", "now"), patience)
	var answered *pool.ExecutorError
	if !errors.As(err, &answered) || answered.Kind != pool.InvalidLibrary {
		t.Errorf("got %v", err)
	}
}

// Where there is nothing else, what keeps a program from being started is told.
func TestNoProgramAndNoLibrary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "plain"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plain", "plain"), []byte("#!/bin/sh\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := pool.StartProcess(pool.ProcessConfig{Executor: "/proc/self/exe", Package: "plain", PackageDir: dir})
	var spawn *pool.SpawnError
	if !errors.As(err, &spawn) || !errors.Is(err, os.ErrPermission) || spawn.Executor != filepath.Join(dir, "plain", "plain") {
		t.Errorf("%v", err)
	}
}

// What is no executable file is no program, and no path is made of a name that is
// not a folder's.
func TestNotStaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"folder", "plain", "dangling", "fifo", "inner", "inner/inner"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := func(name string) string { return filepath.Join(dir, name, name) }
	for _, err := range []error{
		os.Mkdir(path("folder"), 0o755),
		os.WriteFile(path("plain"), []byte("#!/bin/sh\n"), 0o644),
		os.Symlink("nowhere", path("dangling")),
		unix.Mkfifo(path("fifo"), 0o755),
		// What these names would lead to, if paths were made of them.
		os.MkdirAll(filepath.Join(dir, "inner/inner/inner"), 0o755),
		os.Symlink("/proc/self/exe", filepath.Join(dir, "inner/inner/inner/inner")),
		// Beside a library, they are passed over.
		os.WriteFile(filepath.Join(dir, "folder/libfolder.so"), nil, 0o644),
		os.WriteFile(filepath.Join(dir, "plain/libplain.so"), nil, 0o644),
		os.WriteFile(filepath.Join(dir, "fifo/libfifo.so"), nil, 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		says  string
		cause error
	}{
		{"missing", "missing/missing", os.ErrNotExist},
		{"folder", "folder/folder", nil},
		{"plain", "plain/plain", os.ErrPermission},
		{"dangling", "dangling/dangling", os.ErrNotExist},
		{"fifo", "fifo/fifo", nil},
		{"", "none is named", nil},
		{".", `"."`, nil},
		{"..", `".."`, nil},
		{"inner/inner", "inner/inner", nil},
		{"plain\x00", `"plain\x00"`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, "echo", func(cfg *pool.ProcessConfig) { cfg.Package, cfg.PackageDir = c.name, dir })
			mustEcho(t, p, small)
			if p.Program() != "/proc/self/exe" {
				t.Errorf("it started %s", p.Program())
			}
			none, err := pool.StartProcess(pool.ProcessConfig{Package: c.name, PackageDir: dir})
			var spawn *pool.SpawnError
			if none != nil || !errors.As(err, &spawn) || spawn.Executor != "" || !strings.Contains(err.Error(), c.says) {
				t.Errorf("without an executor: %v", err)
			}
			if c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("%v is not %v", err, c.cause)
			}
		})
	}
}
