package cshared

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"unsafe"

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
