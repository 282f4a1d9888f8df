package cshared

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/tasktest"
)

// With length 0 a pointer means nothing, often 0x1. If it became a Go pointer, the
// runtime would end the process when it next moves the stack that it is on
// ("invalid pointer found on stack").
func TestMeaninglessPointerIsDropped(t *testing.T) {
	if p := unsafe.SliceData(view(1, 0)); p != nil {
		t.Errorf("a view of no bytes at 0x1 points to %p", p)
	}
}

// A Go package is called with empty buffers at 0x1, as a Rust host does it, and
// its runtime collects garbage as often as it can. It answers each call, and
// never with NULL.
func TestMeaninglessPointers(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	host := filepath.Join(t.TempDir(), "zero_host")
	if err := tasktest.BuildHost("zero_host", host); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(host, filepath.Join(built.Packages, "gobehave", "libgobehave.so"))
	cmd.Env = append(os.Environ(), "GOGC=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%.2000s", err, out)
	}
}

// The limit on open files is put back to what the process was given, and no higher than
// a hard limit that has been lowered since.
func TestOpenFilesLimit(t *testing.T) {
	t.Parallel()
	const restore = "SPIDER_TEST_RESTORE"
	if os.Getenv(restore) != "" {
		for _, c := range []struct{ now, want unix.Rlimit }{
			{unix.Rlimit{Cur: 300, Max: 300}, unix.Rlimit{Cur: 250, Max: 300}},
			{unix.Rlimit{Cur: 200, Max: 200}, unix.Rlimit{Cur: 200, Max: 200}},
		} {
			var limit unix.Rlimit
			if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &c.now); err != nil {
				t.Fatal(err)
			}
			restoreOpenFiles()
			if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil || limit != c.want {
				t.Errorf("%+v becomes %+v, want %+v; %v", c.now, limit, c.want, err)
			}
		}
		return
	}
	// The shell sets the limits, as those of this process are its runtime's already.
	cmd := exec.Command("sh", "-c", `ulimit -S -n 250 && ulimit -H -n 400 && exec "$0" -test.run '^TestOpenFilesLimit$'`, os.Args[0])
	cmd.Env = append(os.Environ(), restore+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
