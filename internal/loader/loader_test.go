package loader

import (
	"testing"
	"unsafe"

	"github.com/spider-go/spider/internal/protocol"
)

// With length 0 a package's pointer means nothing, often 0x1. If it became a Go
// pointer, the runtime would end the process when it next moves the stack that it
// is on ("invalid pointer found on stack").
func TestMeaninglessPointerIsDropped(t *testing.T) {
	t.Parallel()
	if p := unsafe.SliceData(view(1, 0)); p != nil {
		t.Errorf("a view of no bytes at 0x1 points to %p", p)
	}
}

func TestCompatible(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pkg, host protocol.Version
		want      bool
	}{
		{protocol.Version{Minor: 1}, protocol.Version{Minor: 1}, true},
		{protocol.Version{Minor: 1, Patch: 9}, protocol.Version{Minor: 1}, true},
		{protocol.Version{Minor: 2}, protocol.Version{Minor: 1}, false},
		{protocol.Version{}, protocol.Version{Minor: 1}, false},
		{protocol.Version{Major: 1, Minor: 1}, protocol.Version{Minor: 1}, false},
		{protocol.Version{Major: 1, Minor: 7}, protocol.Version{Major: 1, Minor: 1}, true},
		{protocol.Version{Major: 2}, protocol.Version{Major: 1}, false},
		{protocol.Version{Minor: 1}, protocol.Version{Major: 1, Minor: 1}, false},
	} {
		if got := compatible(c.pkg, c.host); got != c.want {
			t.Errorf("package %v in host %v: %v", c.pkg, c.host, got)
		}
	}
}
