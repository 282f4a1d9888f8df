package pool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fakeCgroup is a directory that looks like a cgroup with the memory controller.
func fakeCgroup(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	put(t, filepath.Join(dir, "cgroup.subtree_control"), "cpu memory\n")
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCgroupFiles(t *testing.T) {
	t.Parallel()
	parent := fakeCgroup(t)
	if err := checkCgroup(parent); err != nil {
		t.Error(err)
	}
	g, err := newCgroup(parent, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"memory.max": "1048576", "memory.swap.max": "0", "memory.oom.group": "1"} {
		if text, err := os.ReadFile(filepath.Join(g.dir, name)); err != nil || string(text) != want {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	for text, want := range map[string]bool{
		"low 0\nhigh 0\nmax 7\noom 1\noom_kill 0\noom_group_kill 0\n": false,
		"low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 1\n": true,
		"": false,
	} {
		put(t, filepath.Join(g.dir, "memory.events"), text)
		if got := g.oomKilled(); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
	// In a real one the files go with the directory.
	files, _ := filepath.Glob(filepath.Join(g.dir, "*"))
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	if g.oomKilled() {
		t.Error("killed, without memory.events")
	}
	g.remove()
	if _, err := os.Stat(g.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	g.remove()

	g = nil
	g.remove()
	if g.oomKilled() {
		t.Error("no group, but killed")
	}
}

func TestWrongCgroups(t *testing.T) {
	t.Parallel()
	without := t.TempDir()
	put(t, filepath.Join(without, "cgroup.subtree_control"), "cpu\n")
	for dir, want := range map[string]string{
		"relative":    "no absolute path",
		t.TempDir():   "no cgroup of version 2",
		without:       "does not contain memory",
		"/not/there/": "no cgroup of version 2",
	} {
		if err := checkCgroup(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", dir, err, want)
		}
	}
	l := Limits{Cgroup: fakeCgroup(t)}
	if faults := l.faults(); len(faults) != 1 || faults[0] != "Limits.Cgroup is set without Memory" {
		t.Errorf("%q", faults)
	}
	// It is no real one, so the start fails, and leaves nothing.
	l.Memory = 1 << 30
	cmd := shell("exit")
	if _, err := l.launch(cmd, nil); err == nil {
		t.Error("started in a directory that is no cgroup")
		_ = cmd.Wait()
	}
}

// realCgroup is a cgroup of version 2 where this process may make others.
func realCgroup(t *testing.T, controller string) string {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		text, err := os.ReadFile(filepath.Join(root, "cgroup.controllers"))
		if err != nil || !strings.Contains(string(text), controller) {
			continue
		}
		dir, err := os.MkdirTemp(root, "spider-test-")
		if err != nil {
			continue
		}
		t.Cleanup(func() {
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
		})
		if controller != "" && os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+controller), 0o644) != nil {
			continue
		}
		return dir
	}
	t.Skipf("NOT TESTED: there is no cgroup of version 2, with controller %q, for this process to use", controller)
	return ""
}

// The end of a group is the end of all in it, whatever group or session they moved to.
func TestCgroupRemove(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp(realCgroup(t, ""), "executor-")
	if err != nil {
		t.Fatal(err)
	}
	g := &cgroup{dir: dir}
	file, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := shell("setsid sleep 600 & echo; cat")
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(file.Fd())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := onThrowawayThread(func() error { return (&Limits{}).start(cmd) }, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	g.remove()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	_ = cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Errorf("%v", cmd.ProcessState)
	}
}

func TestCgroupOOM(t *testing.T) {
	t.Parallel()
	l := Limits{Memory: 32 << 20, Cgroup: realCgroup(t, "memory")}
	cmd := shell("x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo $x | wc -c")
	g, err := l.launch(cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL || !g.oomKilled() {
		t.Errorf("%v, killed for its memory: %t", cmd.ProcessState, g.oomKilled())
	}
	g.remove()
	if _, err := os.Stat(g.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
