package staging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spider-go/spider/internal/scaffold"
)

// Detect returns what the sources in a folder are written in. The error says that there are
// none.
func Detect(dir string) (scaffold.Language, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	has := func(is func(name string) bool) bool {
		return slices.ContainsFunc(found, func(f os.DirEntry) bool { return !f.IsDir() && is(f.Name()) })
	}
	switch {
	case has(func(name string) bool { return name == "Cargo.toml" }):
		return scaffold.Rust, nil
	// C beside Go is Go's.
	case has(func(name string) bool { return filepath.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") }):
		return scaffold.Go, nil
	case has(isC):
		return scaffold.C, nil
	}
	return "", &UsageError{dir + " holds no package: no Cargo.toml, no Go files and no C files; spider new writes one"}
}

func isC(name string) bool { return filepath.Ext(name) == ".c" && !strings.HasSuffix(name, "_test.c") }

// A compiler builds one package.
type compiler struct {
	source  string    // its folder
	scratch string    // a folder for what is built
	log     io.Writer // what is run, and what compilers say
}

// library builds the package as a library, and returns where it is.
func (c *compiler) library(ctx context.Context, lang scaffold.Language) (string, error) {
	out := filepath.Join(c.scratch, "lib.so")
	switch lang {
	case scaffold.Go:
		return out, c.run(ctx, []string{"CGO_ENABLED=1"}, nil, "go", "build", "-buildmode=c-shared", "-o", out, ".")
	case scaffold.C:
		return out, c.cc(ctx, out)
	case scaffold.Rust:
		return c.cargo(ctx, out)
	}
	return "", fmt.Errorf("packages in %q cannot be built", lang)
}

// program builds a Go package as a program; without cgo where it can be, as it starts
// faster then.
func (c *compiler) program(ctx context.Context) (string, error) {
	out := filepath.Join(c.scratch, "program")
	var listed bytes.Buffer
	err := c.run(ctx, []string{"CGO_ENABLED=1"}, &listed, "go", "list", "-deps",
		"-f", "{{if and (not .Standard) .CgoFiles}}{{.ImportPath}}{{end}}", ".")
	if err != nil {
		return "", err
	}
	cgo := "CGO_ENABLED=0"
	for _, path := range strings.Fields(listed.String()) {
		if path != scaffold.SDKModule+"/tdl/cshared" { // nothing in a program
			cgo = "CGO_ENABLED=1"
		}
	}
	return out, c.run(ctx, []string{cgo}, nil, "go", "build", "-o", out, ".")
}

// cc builds all C files of the folder that are no tests.
func (c *compiler) cc(ctx context.Context, out string) error {
	compiler, err := CCompiler()
	if err != nil {
		return err
	}
	headers := filepath.Join(c.scratch, "include")
	if err := os.Mkdir(headers, 0o755); err != nil {
		return err
	}
	for name, text := range scaffold.Headers() {
		if err := os.WriteFile(filepath.Join(headers, name), text, 0o644); err != nil {
			return err
		}
	}
	found, err := os.ReadDir(c.source)
	if err != nil {
		return err
	}
	flags := strings.Fields(os.Getenv("CFLAGS"))
	if len(flags) == 0 {
		flags = []string{"-O2", "-g"}
	}
	args := slices.Concat(compiler[1:], []string{"-Wall", "-Wextra"}, flags, []string{"-shared", "-fPIC", "-I."}, []string{"-I" + headers, "-o", out})
	for _, f := range found {
		if isC(f.Name()) {
			args = append(args, "./"+f.Name())
		}
	}
	args = slices.Concat(args, strings.Fields(os.Getenv("LDFLAGS")), strings.Fields(os.Getenv("LDLIBS")))
	return c.run(ctx, nil, nil, compiler[0], args...)
}

// CCompiler is $CC, else cc or gcc on PATH, with arguments of its own.
func CCompiler() ([]string, error) {
	if cc := strings.Fields(os.Getenv("CC")); len(cc) > 0 {
		return cc, nil
	}
	for _, name := range []string{"cc", "gcc", "clang"} {
		if path, err := exec.LookPath(name); err == nil {
			return []string{path}, nil
		}
	}
	return nil, &MissingError{"a C compiler: neither $CC nor cc, gcc or clang on PATH"}
}

// cargo builds in the crate's own target folder, so that the next time is short, and copies
// the library. First without the network: most of the time all crates are there.
func (c *compiler) cargo(ctx context.Context, out string) (string, error) {
	var messages, said bytes.Buffer
	build := func(log io.Writer, more ...string) error {
		messages.Reset()
		quiet := *c
		quiet.log = log
		return quiet.run(ctx, nil, &messages, "cargo", append([]string{"build", "--release", "--message-format=json-render-diagnostics"}, more...)...)
	}
	err := build(&said, "--offline")
	if err != nil && ctx.Err() == nil && bytes.Contains(said.Bytes(), []byte("offline")) {
		err = build(c.log)
	} else {
		_, _ = c.log.Write(said.Bytes())
	}
	if err != nil {
		return "", err
	}
	var libraries []string
	for d := json.NewDecoder(&messages); ; {
		var m struct {
			Reason string
			Target struct {
				Kind []string
			}
			Filenames []string
		}
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return "", fmt.Errorf("cargo's messages cannot be read: %w", err)
		}
		if m.Reason == "compiler-artifact" && slices.Contains(m.Target.Kind, "cdylib") {
			libraries = append(libraries, m.Filenames...)
		}
	}
	libraries = slices.DeleteFunc(libraries, func(f string) bool { return filepath.Ext(f) != ".so" })
	if len(libraries) != 1 {
		return "", fmt.Errorf(`cargo has built %d libraries, and a package is one: Cargo.toml needs crate-type = ["cdylib"] under [lib]`, len(libraries))
	}
	return out, copyFile(libraries[0], out)
}

// copyFile makes an executable copy.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, in)
	return errors.Join(err, f.Close())
}

// pipePatience is how long, after a compiler has ended or was killed, what it has left
// running, such as a server that caches for it, may keep its output open.
const pipePatience = 2 * time.Second

// run runs a command in the source's folder, to its end or that of ctx, which kills all
// that it has started. A nil stdout is the log.
func (c *compiler) run(ctx context.Context, env []string, stdout io.Writer, name string, args ...string) error {
	fmt.Fprintf(c.log, "%s\n", strings.Join(append(slices.Clone(env), append([]string{filepath.Base(name)}, args...)...), " "))
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = c.source
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = stdout, c.log
	if stdout == nil {
		cmd.Stdout = c.log
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipePatience
	err := cmd.Run()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it has succeeded, and only left something behind
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, exec.ErrNotFound):
		return &MissingError{name + " on PATH"}
	case err != nil:
		return &FailedError{name, err}
	}
	return nil
}

// MissingError says that something to build with is missing.
type MissingError struct{ What string }

func (e *MissingError) Error() string { return "there is no " + strings.TrimPrefix(e.What, "a ") }

// FailedError says that a compiler has failed. What it has said was in the log.
type FailedError struct {
	Program string
	Err     error
}

func (e *FailedError) Error() string {
	return fmt.Sprintf("%s has failed: %v", filepath.Base(e.Program), e.Err)
}
func (e *FailedError) Unwrap() error { return e.Err }
