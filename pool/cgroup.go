package pool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup is the control group of one executor. Nil is none.
type cgroup struct{ dir string }

// checkCgroup says what keeps a directory from holding the groups of executors.
func checkCgroup(parent string) error {
	if !filepath.IsAbs(parent) {
		return fmt.Errorf("%q is no absolute path", parent)
	}
	text, err := os.ReadFile(filepath.Join(parent, "cgroup.subtree_control"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is no cgroup of version 2", parent)
	}
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(string(text)), "memory") {
		return fmt.Errorf("the cgroup.subtree_control of %s does not contain memory", parent)
	}
	return nil
}

// newCgroup makes a group whose processes together have that many bytes of memory, and
// die together if that is not enough.
func newCgroup(parent string, memory int64) (*cgroup, error) {
	dir, err := os.MkdirTemp(parent, "executor-")
	if err != nil {
		return nil, err
	}
	g := &cgroup{dir: dir}
	for _, file := range []struct {
		name, value string
		optional    bool
	}{
		{"memory.max", strconv.FormatInt(memory, 10), false},
		{"memory.swap.max", "0", true}, // missing where the kernel does not account for swap
		{"memory.oom.group", "1", false},
	} {
		path := filepath.Join(dir, file.name)
		if err := os.WriteFile(path, []byte(file.value), 0o644); err != nil {
			if _, missing := os.Stat(path); missing != nil && file.optional {
				continue
			}
			g.remove()
			return nil, err
		}
	}
	return g, nil
}

// oomKilled reports whether the kernel killed the group since it had no more memory.
func (g *cgroup) oomKilled() bool {
	if g == nil {
		return false
	}
	text, err := os.ReadFile(filepath.Join(g.dir, "memory.events"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if name, count, _ := strings.Cut(strings.TrimSpace(line), " "); name == "oom_kill" {
			return count != "0"
		}
	}
	return false
}

// cgroupPatience is how long the last processes of a group may take to end after they
// were killed.
const cgroupPatience = 2 * time.Second

// remove kills what is left in the group, also what left the process group, and
// removes it. Should that fail an empty group stays behind.
func (g *cgroup) remove() {
	if g == nil || unix.Rmdir(g.dir) != unix.EBUSY {
		return
	}
	_ = os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0o644)
	events, err := os.Open(filepath.Join(g.dir, "cgroup.events"))
	if err != nil {
		return
	}
	defer events.Close()
	text := make([]byte, 256)
	for deadline := time.Now().Add(cgroupPatience); ; {
		// A change is told to who has read what was before it.
		n, _ := events.ReadAt(text, 0)
		if strings.Contains(string(text[:n]), "populated 0") && unix.Rmdir(g.dir) != unix.EBUSY {
			return
		}
		left := time.Until(deadline)
		if left <= 0 {
			return
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(events.Fd()), Events: unix.POLLPRI}}, int(left/time.Millisecond)+1)
	}
}
