package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Host is where and with what a report was made. What cannot be found out is
// "unknown".
type Host struct {
	Date     time.Time `json:"date"`
	CPU      string    `json:"cpu"`      // model
	CPUs     []int     `json:"cpus"`     // that this process may use
	Siblings bool      `json:"siblings"` // the first two of them are threads of one physical core
	Kernel   string    `json:"kernel"`
	Go       string    `json:"go"`
	Commit   string    `json:"commit"`
	Load     string    `json:"load"` // 1 minute load average when the run began
}

const unknown = "unknown"

func describeHost(usable []int) Host {
	h := Host{
		Date: time.Now(), CPU: cpuModel(), CPUs: usable, Kernel: unknown,
		Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH, Commit: commit(), Load: unknown,
	}
	if len(usable) > 1 {
		h.Siblings = coreOf(usable[0]) != "" && coreOf(usable[0]) == coreOf(usable[1])
	}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		h.Kernel = unix.ByteSliceToString(name.Release[:])
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		h.Load, _, _ = strings.Cut(string(text), " ")
	}
	return h
}

func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

func coreOf(cpu int) string {
	text, _ := os.ReadFile(filepath.Join(fmt.Sprintf("/sys/devices/system/cpu/cpu%d", cpu), "topology/thread_siblings_list"))
	return string(text)
}

// commit is what the program was built from.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return unknown
	}
	revision, modified := unknown, ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			modified = ", with changes"
		}
	}
	return revision + modified
}
