package pool

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// memory is a process's resident memory in bytes: now, at its largest, and what of it is
// shared memory.
type memory struct{ now, peak, shared int64 }

// memoryOf reads it from /proc; ok is false for a process that has ended.
func memoryOf(pid int) (m memory, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return m, false
	}
	m.peak, ok = statusField(text, "\nVmHWM:")
	m.now, _ = statusField(text, "\nVmRSS:")
	m.shared, _ = statusField(text, "\nRssShmem:")
	return m, ok
}

// statusField reads a line of /proc/pid/status such as "VmHWM:	    1234 kB".
func statusField(text []byte, name string) (size int64, ok bool) {
	_, rest, ok := bytes.Cut(text, []byte(name))
	if !ok {
		return 0, false
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	kB, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(line)), " kB"), 10, 64)
	return kB << 10, err == nil
}

// sampleMemory notes the process's largest resident memory.
func (p *Process) sampleMemory() (m memory, ok bool) {
	m, ok = memoryOf(p.PID())
	if ok {
		p.notePeak(m.peak)
	}
	return m, ok
}

func (p *Process) notePeak(bytes int64) {
	for {
		old := p.peak.Load()
		if bytes <= old || p.peak.CompareAndSwap(old, bytes) {
			return
		}
	}
}

// peakRSS is the largest resident memory that is known of the process, which has
// ended. What the kernel reports at the end counts only if it is more than this
// process's own: a child begins with its parent's.
func (p *Process) peakRSS() (bytes int64, atLeast bool) {
	atLeast = true
	if state := p.cmd.ProcessState; state != nil {
		if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
			if reported := usage.Maxrss << 10; reported > p.parentPeak {
				p.notePeak(reported)
				atLeast = false
			}
		}
	}
	return p.peak.Load(), atLeast && p.exit.Killed == ""
}

// corePath says where the core dump of the process is, which has ended: the path, if
// the kernel wrote it to a file that is there, else what is known.
func (p *Process) corePath() string {
	state := p.cmd.ProcessState
	if state == nil {
		return ""
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	if !ok || !status.CoreDump() {
		return ""
	}
	text, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		return "dumped"
	}
	usesPID, _ := os.ReadFile("/proc/sys/kernel/core_uses_pid")
	pattern := strings.TrimSpace(string(text))
	if handler, piped := strings.CutPrefix(pattern, "|"); piped {
		return "given to " + handler
	}
	return findCore(pattern, strings.TrimSpace(string(usesPID)) == "1", p.cmd.Dir, filepath.Base(p.cmd.Path), p.PID(), status.Signal())
}

// findCore expands what it can of core_pattern, see core(5).
func findCore(pattern string, usesPID bool, dir, program string, pid int, signal syscall.Signal) string {
	var b strings.Builder
	withPID := false
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' || i+1 == len(pattern) {
			b.WriteByte(pattern[i])
			continue
		}
		i++
		switch pattern[i] {
		case '%':
			b.WriteByte('%')
		case 'p', 'P', 'i', 'I':
			withPID = true
			fmt.Fprint(&b, pid)
		case 's':
			fmt.Fprint(&b, int(signal))
		case 'e':
			// The kernel knows the first 15 bytes of a name.
			b.WriteString(program[:min(len(program), 15)])
		default:
			b.WriteByte('*') // for the search below
		}
	}
	if usesPID && !withPID {
		fmt.Fprintf(&b, ".%d", pid)
	}
	path := b.String()
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if found, err := filepath.Glob(path); err == nil && len(found) > 0 {
		return found[len(found)-1]
	}
	return "dumped as " + path
}
