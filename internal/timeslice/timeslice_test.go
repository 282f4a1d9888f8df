package timeslice

import (
	"testing"
	"time"
)

// passes says how often a Slice passes through the scheduler at these moments.
func passes(s *Slice, moments ...time.Duration) (n int) {
	for _, now := range moments {
		s.Yield(now)
		if s.due == now+slice {
			n++
		}
	}
	return n
}

// each are the moments of calls that follow each other.
func each(from, to, step time.Duration) (moments []time.Duration) {
	for now := from; now < to; now += step {
		moments = append(moments, now)
	}
	return moments
}

func TestYieldsOncePerSlice(t *testing.T) {
	t.Parallel()
	var s Slice
	// The first call is one after a rest. Then at 0.2, 4.2 and 8.2 ms of 10.
	begin := time.Hour
	if n := passes(&s, each(begin, begin+10*time.Millisecond, 10*time.Microsecond)...); n != 3 {
		t.Errorf("%d passes through the scheduler in 10 ms, want 3", n)
	}
}

func TestDoesNotYieldAfterRests(t *testing.T) {
	t.Parallel()
	for _, pause := range []time.Duration{rest, slice, 5 * time.Millisecond, time.Second} {
		var s Slice
		if n := passes(&s, each(time.Hour, time.Hour+100*pause, pause)...); n != 0 {
			t.Errorf("%d passes through the scheduler in 100 calls that come every %v, want none", n, pause)
		}
	}
}

func TestYieldsSoonAfterRest(t *testing.T) {
	t.Parallel()
	var s Slice
	for begin := time.Hour; begin < 2*time.Hour; begin += time.Minute {
		if n := passes(&s, each(begin, begin+grace, 10*time.Microsecond)...); n != 0 {
			t.Fatalf("%d passes through the scheduler right after a rest, want none", n)
		}
		if n := passes(&s, each(begin+grace, begin+slice, 10*time.Microsecond)...); n != 1 {
			t.Fatalf("%d passes through the scheduler in the %v after that, want 1", n, slice)
		}
	}
}
