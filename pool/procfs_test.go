package pool

import (
	"bytes"
	"os"
	"testing"

	"github.com/spider-go/spider/internal/sharedmem"
)

// Payloads are not a process's own memory, as far as it has them in its memory at all.
func TestOwnMemory(t *testing.T) {
	t.Parallel()
	offer, err := sharedmem.NewOffer(8 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer offer.Close()
	if err := offer.CopyIn(bytes.Repeat([]byte("x"), 8<<20)); err != nil {
		t.Fatal(err)
	}
	p := Process{shared: offer}
	for _, c := range []struct {
		now, shared, own int64
	}{
		{10 << 20, 0, 10 << 20},
		{10 << 20, 1 << 20, 9 << 20},
		{10 << 20, 8 << 20, 2 << 20},
		{20 << 20, 15 << 20, 12 << 20}, // some of it is the task's
	} {
		if own := p.own(memory{now: c.now, shared: c.shared}); own != c.own {
			t.Errorf("%+v: %d", c, own)
		}
	}
	if own := (&Process{}).own(memory{now: 5, shared: 3}); own != 5 {
		t.Error(own)
	}
	if m, ok := memoryOf(os.Getpid()); !ok || m.now == 0 || m.peak < m.now/2 || m.shared < 8<<20 {
		t.Errorf("%+v, %t", m, ok)
	}
}
