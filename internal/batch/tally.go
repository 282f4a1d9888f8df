package batch

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spider-go/spider/internal/record"
	"github.com/spider-go/spider/pool"
)

// Stats are how a batch is at one moment.
type Stats struct {
	Started time.Time

	Taken   int64 // inputs read, without those that an earlier output had
	Done    int64 // inputs that have a record, failed ones among them
	Failed  int64
	Sent    int64   // of those done, what went to an executor
	Retried int64   // calls that were made again
	Written int64   // records written
	Waiting int64   // records that wait to be written, or for an earlier one
	ReadAll bool    // there are no further inputs
	Rate    float64 // inputs done per second, over the last seconds

	Causes  []Cause   // of failures, the most frequent first
	Lately  []Failure // the last failures, the latest first
	Slowest Slow
	Running []Running // by index
}

// Cause is why inputs have failed.
type Cause struct {
	Text  string // such as "crashed (SIGSEGV)"
	Count int64
}

// Failure is one of them.
type Failure struct {
	Index int64
	Text  string // the input, abridged
	Cause string
	Time  time.Time
}

// Slow is the input whose call took longest.
type Slow struct {
	Index int64
	Text  string // the input, abridged
	Took  time.Duration
}

const (
	maxCauses = 50 // from then on it is "other causes"
	maxLately = 10
)

// tally counts. Its fields are guarded by Batch.mu.
type tally struct {
	started                      time.Time
	limit                        time.Duration // of a call
	taken, done, failed, retried int64
	sent                         int64
	readAll                      bool
	causes                       map[string]int64
	lately                       []Failure // the latest last
	slowest                      Slow
	samples                      []sample // what Rate is reckoned from
}

type sample struct {
	at   time.Time
	done int64
}

func newTally(now time.Time, limit time.Duration) tally {
	return tally{started: now, limit: limit, causes: map[string]int64{}, samples: []sample{{now, 0}}}
}

// count counts a record.
func (t *tally) count(r *record.Record, text string) {
	t.done++
	if took := time.Duration(r.WallUS) * time.Microsecond; took > t.slowest.Took {
		t.slowest = Slow{*r.Index, text, took}
	}
	if r.Outcome != record.BadInput && r.Outcome != record.TooLarge {
		t.sent++
	}
	if r.Outcome == record.OK {
		return
	}
	t.failed++
	cause := t.causeOf(r)
	if _, ok := t.causes[cause]; !ok && len(t.causes) >= maxCauses {
		t.causes["other causes"]++
	} else {
		t.causes[cause]++
	}
	if len(t.lately) == maxLately {
		t.lately = slices.Delete(t.lately, 0, 1)
	}
	t.lately = append(t.lately, Failure{*r.Index, text, cause, time.Now()})
}

// causeOf is a failure's cause as one of few: without what is different each time.
func (t *tally) causeOf(r *record.Record) string {
	e := r.Error
	switch r.Outcome {
	case record.Crash:
		how := "without an answer"
		switch {
		case e.Signal != "":
			how = e.Signal
		case e.ExitStatus != nil:
			how = fmt.Sprintf("exit status %d", *e.ExitStatus)
		}
		if e.Panic != "" {
			how = "panic"
		}
		if e.Killed != "" {
			how = "killed: " + e.Killed
		}
		return "crashed (" + how + ")"
	case record.Timeout:
		if t.limit > 0 {
			return fmt.Sprintf("timed out after %v", t.limit)
		}
		return "timed out"
	case record.TaskError:
		return "failed (" + cmp.Or(e.Kind, "task error") + ")"
	case record.BadInput:
		if e.Kind == string(pool.InvalidUtf8) {
			return "bad input (not UTF-8)"
		}
		return "bad input"
	case record.TooLarge:
		return "too large"
	case record.BadAnswer:
		return "unreadable answer"
	}
	return string(r.Outcome)
}

// The samples that a rate is reckoned from are taken when somebody asks, at least
// sampleEvery apart, and reach back over rateOver.
const (
	sampleEvery = 250 * time.Millisecond
	rateOver    = 5 * time.Second
)

func (t *tally) rate(now time.Time) float64 {
	for len(t.samples) > 1 && now.Sub(t.samples[1].at) >= rateOver {
		t.samples = slices.Delete(t.samples, 0, 1)
	}
	first := t.samples[0]
	if now.Sub(t.samples[len(t.samples)-1].at) >= sampleEvery {
		t.samples = append(t.samples, sample{now, t.done})
	}
	over := now.Sub(first.at).Seconds()
	if over <= 0 {
		return 0
	}
	return float64(t.done-first.done) / over
}

// Stats returns a snapshot.
func (b *Batch) Stats() Stats {
	b.mu.Lock()
	t := &b.tally
	s := Stats{
		Started: t.started, Taken: t.taken, Done: t.done, Failed: t.failed, Sent: t.sent, Retried: t.retried,
		ReadAll: t.readAll, Rate: t.rate(time.Now()), Slowest: t.slowest, Lately: slices.Clone(t.lately),
	}
	for text, count := range maps.All(t.causes) {
		s.Causes = append(s.Causes, Cause{text, count})
	}
	b.mu.Unlock()
	slices.Reverse(s.Lately)
	slices.SortFunc(s.Causes, func(x, y Cause) int {
		return cmp.Or(cmp.Compare(y.Count, x.Count), cmp.Compare(x.Text, y.Text))
	})

	b.window.mu.Lock()
	s.Written, s.Waiting = b.window.written, s.Done-b.window.written
	b.window.mu.Unlock()

	for i := range b.workers {
		w := &b.workers[i]
		w.mu.Lock()
		if w.now.Attempt > 0 {
			s.Running = append(s.Running, w.now)
		}
		w.mu.Unlock()
	}
	slices.SortFunc(s.Running, func(x, y Running) int { return cmp.Compare(x.Index, y.Index) })
	return s
}
