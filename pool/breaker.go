package pool

import (
	"context"
	"fmt"
	"time"
)

const (
	// firstBackoff is how long to wait after the first death; each further one
	// doubles it up to maxBackoff.
	firstBackoff = 10 * time.Millisecond
	maxBackoff   = 5 * time.Second

	// breakAfter is how many deaths in a row open the breaker: from then on
	// callers are refused at once instead of waiting.
	breakAfter = 5
)

// breaker slows down what dies again and again: starting an executor, or loading a
// package. The zero breaker is closed. It knows no clock of its own.
type breaker struct {
	deaths int // in a row
	until  time.Time
	last   error
}

// failed notes a death.
func (b *breaker) failed(now time.Time, err error) {
	b.deaths++
	b.last = err
	// The shift is bounded before it is used.
	backoff := min(firstBackoff<<min(b.deaths-1, 16), maxBackoff)
	b.until = now.Add(backoff)
}

// succeeded closes the breaker.
func (b *breaker) succeeded() { *b = breaker{} }

// wait is how long to wait before the next attempt; refused tells not to wait, but to
// give up. When the time is over attempts are let through, until one of them dies,
// which opens the breaker again.
func (b *breaker) wait(now time.Time) (wait time.Duration, refused bool) {
	wait = max(0, b.until.Sub(now))
	return wait, wait > 0 && b.deaths >= breakAfter
}

// BreakerError says that a call was not tried: its executor, or its package, has died
// too often in a row while it started or loaded. Nothing was sent. Try again after
// Until; what is broken is in Err.
type BreakerError struct {
	Package string // "" if the executor itself does not start
	Deaths  int    // in a row
	Until   time.Time
	Err     error // the last death
}

func (e *BreakerError) Error() string {
	what := "the executor has died while starting"
	if e.Package != "" {
		what = fmt.Sprintf("package %s: executors have died while loading it", e.Package)
	}
	return fmt.Sprintf("%s %d times in a row; not tried again before %s: %v", what, e.Deaths, e.Until.Format(time.TimeOnly), e.Err)
}

// Unwrap returns Err, unless that is the report of a lost executor, see [SpawnError].
func (e *BreakerError) Unwrap() error { return unlessReport(e.Err) }

// sleep reports whether it was not ended by ctx.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
