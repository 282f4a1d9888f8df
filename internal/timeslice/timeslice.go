// Package timeslice keeps the Go runtime's monitor thread quiet around a goroutine
// that makes one short system or native call after the other, as both ends of the
// protocol and every Go package do.
//
// The monitor looks at each processor every 20 us to 10 ms: the less it finds to
// do, the longer it sleeps. It finds something to do whenever one goroutine has had
// a processor for over 10 ms without a pass through the scheduler, also if nothing
// else wants to run: it takes the processor away, and then looks every 20 us for a
// while. A goroutine of short calls is in that state for ever, so the monitor is
// at work thousands of times a second, and on one core each time in place of the
// task. A voluntary pass through the scheduler every few milliseconds costs
// nothing in comparison.
//
// It is not free, however: where the goroutine is tied to its thread, as tasks are, the
// pass goes by way of another thread. After a rest, when caches are cold and both threads
// asleep, that is some 70 us (p50, two cores), so the first call after one goes without.
package timeslice

import (
	"runtime"
	"time"
)

const (
	// slice is well below the 10 ms after which the monitor acts.
	slice = 4 * time.Millisecond

	// What comes so long after the last call may be the only one for a while.
	rest = time.Millisecond

	// If it is not, a pass is soon worth its price: until then the monitor, which has
	// taken the processor away during the rest, costs each call some 40 us.
	grace = 200 * time.Microsecond
)

// began is where moments count from.
var began = time.Now()

// Now is this moment, for [Slice.Yield]. It reads one clock, where time.Now reads two.
func Now() time.Duration { return time.Since(began) }

// A Slice is the time since one goroutine's last pass through the scheduler. The
// zero Slice is ready for use.
type Slice struct {
	due  time.Duration // when the next pass is
	last time.Duration // when Yield was last called
}

// Yield passes through the scheduler if it is time. It must be called by the
// goroutine whose slice it is, once for each call, at points where a few microseconds
// matter least. now is what [Now] has returned lately.
func (s *Slice) Yield(now time.Duration) {
	rested := now-s.last >= rest
	s.last = now
	switch {
	case now < s.due:
	case rested:
		s.due = now + grace
	default:
		s.due = now + slice
		runtime.Gosched()
	}
}
