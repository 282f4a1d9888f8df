package timeslice

import (
	"testing"
	"time"
)

func TestYieldsOncePerSlice(t *testing.T) {
	t.Parallel()
	var s Slice
	passes := 0
	for i := range 1000 {
		now := time.Hour + time.Duration(i)*10*time.Microsecond
		before := s
		s.Yield(now)
		if s != before {
			passes++
		}
	}
	// At 0, 4 and 8 ms of 10.
	if passes != 3 {
		t.Errorf("%d passes through the scheduler in 10 ms, want 3", passes)
	}
}
