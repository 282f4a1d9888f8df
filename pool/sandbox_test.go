package pool_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

func init() {
	// The task says what to do to the path, or address, that is its input; the
	// output is the error's text.
	behaviours["tries"] = func() {
		serve(func(e *protocol.Execute) protocol.Outcome {
			if err := attempt(string(e.Task), string(e.Inputs)); err != nil {
				return protocol.Outcome{Payload: []byte(err.Error())}
			}
			return protocol.Outcome{}
		})
	}
}

func attempt(what, path string) error {
	var err error
	switch what {
	case "read":
		_, err = os.ReadFile(path)
	case "list":
		_, err = os.ReadDir(path)
	case "write":
		err = os.WriteFile(path, []byte("x"), 0o600)
	case "truncate":
		err = os.Truncate(path, 0)
	case "remove":
		err = os.Remove(path)
	case "mkdir":
		err = os.Mkdir(path, 0o700)
	case "link":
		err = os.Symlink("/", path)
	case "device":
		err = syscall.Mknod(path, syscall.S_IFCHR|0o600, 1<<8|3)
	case "rename":
		err = os.Rename(path, path+".new")
	case "execute":
		err = exec.Command(path).Run()
	case "connect":
		var c net.Conn
		if c, err = net.Dial("tcp", path); err == nil {
			err = c.Close()
		}
	case "listen":
		var c net.ListenConfig
		c.SetMultipathTCP(false)
		var l net.Listener
		if l, err = c.Listen(context.Background(), "tcp", path); err == nil {
			err = l.Close()
		}
	case "signal":
		pid, _ := strconv.Atoi(path)
		err = syscall.Kill(pid, 0)
	case "signal child":
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), envBehaviour+"="+lingers)
		if err = cmd.Start(); err == nil {
			err = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	default:
		err = fmt.Errorf("cannot %s", what)
	}
	return err
}

// command is a command that is the given behaviour.
func command(t *testing.T, behaviour string) *exec.Cmd {
	t.Helper()
	cfg := configuration(behaviour)
	cmd := exec.Command(cfg.Executor)
	cmd.Env = cfg.Env
	return cmd
}

// needLandlock skips the test where the kernel has no Landlock.
func needLandlock(t *testing.T) {
	t.Helper()
	p, err := pool.New(pool.Config{PackageDir: "/", Limits: pool.Limits{Landlock: &pool.Landlock{NoTCP: true}}})
	if err != nil {
		t.Skip("NOT TESTED: ", err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLandlock(t *testing.T) {
	t.Parallel()
	needLandlock(t)
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, d := range []string{"readonly", "readwrite", "secret"} {
		if err := os.Mkdir(path(d), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"file", "remove", "rename", "truncate"} {
			if err := os.WriteFile(path(d+"/"+f), []byte("content"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(path(d+"/script"), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	sh, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}

	p := start(t, "tries", func(cfg *pool.ProcessConfig) {
		cfg.Limits.Landlock = &pool.Landlock{
			ReadOnly:  []string{path("readonly"), sh},
			ReadWrite: []string{path("readwrite")},
			NoTCP:     true,
		}
	})
	for _, c := range []struct {
		what, path string
		allowed    bool
	}{
		{"read", path("readonly/file"), true},
		{"list", path("readonly"), true},
		{"execute", path("readonly/script"), true},
		{"write", path("readonly/file"), false},
		{"write", path("readonly/new"), false},
		{"truncate", path("readonly/truncate"), false},
		{"mkdir", path("readonly/dir"), false},
		{"link", path("readonly/link"), false},
		{"rename", path("readonly/rename"), false},
		{"remove", path("readonly/remove"), false},

		{"read", path("readwrite/file"), true},
		{"list", path("readwrite"), true},
		{"execute", path("readwrite/script"), true},
		{"write", path("readwrite/file"), true},
		{"write", path("readwrite/new"), true},
		{"truncate", path("readwrite/truncate"), true},
		{"mkdir", path("readwrite/dir"), true},
		{"link", path("readwrite/link"), true},
		{"rename", path("readwrite/rename"), true},
		{"remove", path("readwrite/remove"), true},
		{"device", path("readwrite/device"), false},

		{"read", path("secret/file"), false},
		{"read", path("readwrite/link/etc/passwd"), false},
		{"list", path("secret"), false},
		{"execute", path("secret/script"), false},
		{"write", path("secret/file"), false},
		{"truncate", path("secret/truncate"), false},
		{"mkdir", path("secret/dir"), false},
		{"rename", path("secret/rename"), false},
		{"remove", path("secret/remove"), false},
		{"read", "/etc/passwd", false},
		{"read", "/proc/self/maps", false},
		{"list", "/tmp", false},
		{"list", "/", false},
		{"execute", "/bin/true", false},

		{"list", "/usr/lib", true},
		{"read", "/etc/localtime", true},
		{"read", "/dev/null", true},
		{"write", "/dev/null", true},

		{"connect", listener.Addr().String(), false},
		{"listen", "127.0.0.1:0", false},
		{"signal", fmt.Sprint(os.Getpid()), pool.LandlockVersion() < 6},
		{"signal", fmt.Sprint(p.PID()), true},
		{"signal child", "", true},
	} {
		result, err := p.Execute(pool.Request{Package: "p", Task: c.what, Context: []byte{0x90}, Inputs: []byte(c.path)}, patience)
		if err != nil {
			t.Fatal(err)
		}
		refused := bytes.Contains(result.Outputs, []byte("permission denied")) || bytes.Contains(result.Outputs, []byte("not permitted"))
		if c.allowed && len(result.Outputs) > 0 || !c.allowed && !refused {
			t.Errorf("%s %s: %q, allowed %t", c.what, c.path, result.Outputs, c.allowed)
		}
	}
	// None of that is this process's.
	if err := attempt("read", path("secret/file")); err != nil {
		t.Error(err)
	}
	if err := attempt("connect", listener.Addr().String()); err != nil {
		t.Error(err)
	}

	free := start(t, "tries", func(cfg *pool.ProcessConfig) { cfg.Limits.Landlock = &pool.Landlock{} })
	result, err := free.Execute(pool.Request{Task: "connect", Inputs: []byte(listener.Addr().String())}, patience)
	if err != nil || len(result.Outputs) > 0 {
		t.Errorf("without NoTCP: %q, %v", result.Outputs, err)
	}
}

// What is always allowed is enough for executors of every kind, with packages in C
// and in Go.
func TestLandlockRunsPackages(t *testing.T) {
	t.Parallel()
	needLandlock(t)
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	allowed, secret := filepath.Join(dir, "allowed"), filepath.Join(dir, "secret")
	for _, file := range []string{allowed, secret} {
		if err := os.WriteFile(file, []byte("one\ntwo\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	selfHosted := func(name string) func(*pool.ProcessConfig) {
		return func(cfg *pool.ProcessConfig) {
			cfg.Executor, cfg.PackageDir = filepath.Join(built.SelfHosted, name, name), built.SelfHosted
		}
	}
	launch := func(t *testing.T, configure ...func(*pool.ProcessConfig)) *pool.Process {
		return startLimited(t, pool.Limits{Landlock: &pool.Landlock{ReadOnly: []string{allowed}}}, configure...)
	}
	search := func(t *testing.T, p *pool.Process) {
		type result struct {
			Lines, Bytes, Matched uint64
			First                 []struct {
				Number uint64
				Text   string
			}
		}
		found, err := run[result](p, "logsearch", "search", allowed, "^t", 3)
		if err != nil || found.Lines != 2 || found.Matched != 1 {
			t.Errorf("%+v, %v", found, err)
		}
		if _, err := run[result](p, "logsearch", "search", secret, "^t", 3); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("the other file: %v", err)
		}
	}
	t.Run("libraries", func(t *testing.T) {
		t.Parallel()
		p := launch(t)
		if got, err := run[string](p, "misbehave", "echo", "x"); err != nil || got != "x" {
			t.Errorf("%q, %v", got, err)
		}
		if got, err := run[int](p, "gorecover", "fine", 3); err != nil || got != 3 {
			t.Errorf("%d, %v", got, err)
		}
		if got, err := run[uint64](p, "integration_test_tasks", "fibonacci", 10); err != nil || got != 55 {
			t.Errorf("%d, %v", got, err)
		}
		search(t, p)
	})
	t.Run("a package as a program", func(t *testing.T) {
		t.Parallel()
		search(t, launch(t, selfHosted("logsearch")))
	})
	t.Run("one with C in it", func(t *testing.T) {
		t.Parallel()
		p := launch(t, selfHosted("integration_test_tasks"))
		if got, err := run[uint64](p, "integration_test_tasks", "fibonacci", 10); err != nil || got != 55 {
			t.Errorf("%d, %v", got, err)
		}
	})
	t.Run("relative paths", func(t *testing.T) {
		t.Parallel()
		// They are the executor's, and it works elsewhere.
		top := filepath.Dir(filepath.Dir(built.Executor))
		executor, _ := filepath.Rel(top, built.Executor)
		packages, _ := filepath.Rel(top, built.Packages)
		p := launch(t, func(cfg *pool.ProcessConfig) {
			cfg.Executor, cfg.PackageDir, cfg.Dir = "./"+executor, packages, top
		})
		if got, err := run[string](p, "misbehave", "echo", "x"); err != nil || got != "x" {
			t.Errorf("%q, %v", got, err)
		}
	})
}
