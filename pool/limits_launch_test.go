package pool

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// LandlockVersion is for tests from outside.
var LandlockVersion = landlockVersion

// restricted lists the threads of this process that can gain no privileges, as those
// that start executors, and how many threads there are.
func restricted(t *testing.T) (tids []string, all int) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		all++
		if !strings.Contains(string(text), "\nNoNewPrivs:\t0\n") {
			tids = append(tids, file)
		}
	}
	return tids, all
}

// Threads that have been restricted end, whatever else starts threads meanwhile, and
// no other thread comes of them.
func TestNoThreadIsLeftBehind(t *testing.T) {
	if tids, all := restricted(t); len(tids) == all {
		t.Skip("NOT TESTED: this process cannot gain privileges itself")
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	limits := []*Limits{{}, {OpenFiles: 50}}
	if landlockVersion() > 0 {
		limits = append(limits, &Limits{Landlock: &Landlock{BestEffort: true}})
	}
	starts := func(n int) {
		var callers sync.WaitGroup
		for caller := range 4 {
			callers.Go(func() {
				for i := range n / 4 {
					cmd := exec.Command("/bin/true")
					if _, err := limits[(caller+i)%len(limits)].launch(cmd, nil); err != nil {
						t.Error(err)
						return
					}
					if err := cmd.Wait(); err != nil {
						t.Error(err)
					}
					if _, err := os.ReadFile(secret); err != nil {
						t.Error(err)
					}
					// And one on whose thread somebody waits.
					p, err := StartProcess(ProcessConfig{Executor: "/bin/cat"})
					if err != nil {
						t.Error(err)
						return
					}
					p.Close()
				}
			})
			// Goroutines with a thread of their own make the runtime start threads.
			callers.Go(func() {
				for range n / 4 {
					done := make(chan struct{})
					go func() {
						defer close(done)
						runtime.LockOSThread()
						if _, err := os.ReadFile(secret); err != nil {
							t.Error(err)
						}
					}()
					<-done
				}
			})
		}
		callers.Wait()
	}
	// settled waits for the last threads' end, which is a little after the start.
	settled := func() int {
		for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
			tids, all := restricted(t)
			if len(tids) == 0 {
				return all
			}
			if time.Now().After(deadline) {
				t.Fatalf("restricted: %q, of %d threads", tids, all)
			}
		}
	}
	starts(100)
	before := settled()
	n := 1000
	if testing.Short() {
		n = 100
	}
	starts(n)
	// The runtime may keep a few more for itself.
	if after := settled(); after > before+10 {
		t.Errorf("%d threads, before %d", after, before)
	}
}

// shell is a shell command in a process group of its own.
func shell(script string) *exec.Cmd {
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func TestCPUUsedUp(t *testing.T) {
	t.Parallel()
	l := Limits{CPU: time.Second}
	for _, c := range []struct {
		script string
		signal syscall.Signal
		usedUp bool
	}{
		{"while :; do :; done", syscall.SIGXCPU, true},
		{"trap '' XCPU; while :; do :; done", syscall.SIGKILL, true},
		{"kill -KILL $$", syscall.SIGKILL, false},
		{"exit 3", 0, false},
	} {
		t.Run(c.script, func(t *testing.T) {
			t.Parallel()
			cmd := shell(c.script)
			if _, err := l.launch(cmd, nil); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			signal := syscall.Signal(0)
			if status.Signaled() {
				signal = status.Signal()
			}
			if got := l.cpuUsedUp(cmd.ProcessState); signal != c.signal || got != c.usedUp {
				t.Errorf("%v: %t", cmd.ProcessState, got)
			}
		})
	}
	if l.cpuUsedUp(nil) {
		t.Error("of a process whose end is not known")
	}
}

// Our own executor is told to keep its limit on core dumps, if there are to be some.
func TestCoreDumpsVariable(t *testing.T) {
	t.Parallel()
	for cores, want := range map[int64]bool{0: false, 4096: true, -1: true} {
		var own unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &own); err != nil || cores > 0 && own.Max < uint64(cores) {
			continue
		}
		cmd := exec.Command("/bin/true")
		cmd.Env = []string{"A=b"}
		if _, err := (&Limits{Cores: cores}).launch(cmd, nil); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		if got := slices.Contains(cmd.Env, "SPIDER_CORE_DUMPS=on"); got != want || !slices.Contains(cmd.Env, "A=b") {
			t.Errorf("Cores %d: %q", cores, cmd.Env)
		}
	}
}

// A limit that cannot be set ends the process.
func TestLimitFails(t *testing.T) {
	t.Parallel()
	err := onThrowawayThread(func() error {
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			return err
		}
		pidfd := -1
		cmd := exec.Command("/bin/cat")
		stdin, err := cmd.StdinPipe() // it would stay
		if err != nil {
			return err
		}
		defer stdin.Close()
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, PidFD: &pidfd}
		err = (&Limits{Nice: -20}).start(cmd)
		if cmd.ProcessState == nil || pidfd != -1 {
			t.Errorf("it was not reaped: %v, pidfd %d", cmd.ProcessState, pidfd)
		}
		return err
	}, nil)
	var limit *LimitError
	if !errors.As(err, &limit) || limit.Limit != "Nice" || !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}

// A program that cannot be started is the caller's to hear of as ever.
func TestLaunchFails(t *testing.T) {
	t.Parallel()
	for _, l := range []*Limits{{}, {NewPrivileges: true}, {Landlock: &Landlock{BestEffort: true}}} {
		if _, err := l.launch(exec.Command("/is/not/there"), nil); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%+v: %v", l, err)
		}
		if _, err := l.launch(exec.Command("not-on-the-path-anywhere"), nil); !errors.Is(err, exec.ErrNotFound) {
			t.Errorf("%+v: %v", l, err)
		}
	}
}
