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
package timeslice

import (
	"runtime"
	"time"
)

// slice is well below the 10 ms after which the monitor acts.
const slice = 4 * time.Millisecond

// began is where moments count from.
var began = time.Now()

// Now is this moment, for [Slice.Yield]. It reads one clock, where time.Now reads two.
func Now() time.Duration { return time.Since(began) }

// A Slice is the time since one goroutine's last pass through the scheduler. The
// zero Slice is ready for use.
type Slice struct{ began time.Duration }

// Yield passes through the scheduler if it is time. It must be called by the
// goroutine whose slice it is, at points where a few microseconds matter least. now is
// what [Now] has returned lately.
func (s *Slice) Yield(now time.Duration) {
	if now-s.began >= slice {
		s.began = now
		runtime.Gosched()
	}
}
