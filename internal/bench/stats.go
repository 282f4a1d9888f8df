package bench

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// longest is the longest time a histogram tells from longer ones.
	longest = 60 * time.Second

	// digits is how many significant digits a histogram keeps: 0.1 us of a
	// millisecond, 1 ns of 10 us.
	digits = 4
)

// Stats sums up the times of many calls.
type Stats struct {
	Count int64         `json:"count"`
	Min   time.Duration `json:"min_ns"`
	Avg   time.Duration `json:"avg_ns"`
	P50   time.Duration `json:"p50_ns"`
	P95   time.Duration `json:"p95_ns"`
	P99   time.Duration `json:"p99_ns"`
}

// Curve is the whole distribution of the times of many calls, for a chart.
type Curve []CurvePoint

// CurvePoint says that a Share of the calls, from 0 to below 1, took Time or less.
type CurvePoint struct {
	Share float64       `json:"share"`
	Time  time.Duration `json:"time_ns"`
}

// Less returns the statistics of the same times, each of them d shorter. What
// was shorter than d becomes negative: cutting it off at 0 would move the
// average.
func (s Stats) Less(d time.Duration) Stats {
	return Stats{Count: s.Count, Min: s.Min - d, Avg: s.Avg - d, P50: s.P50 - d, P95: s.P95 - d, P99: s.P99 - d}
}

// times collects durations into a histogram. Its zero value is not ready: use
// newTimes.
type times struct {
	histogram *hdrhistogram.Histogram
	least     time.Duration
	sum       time.Duration
}

func newTimes() *times {
	return &times{histogram: hdrhistogram.New(1, int64(longest), digits)}
}

// add counts d. The histogram holds neither 0 nor more than longest: such
// values are counted at its ends.
func (t *times) add(d time.Duration) {
	if t.histogram.TotalCount() == 0 || d < t.least {
		t.least = d
	}
	t.sum += d
	// Cannot fail: the value is in range.
	_ = t.histogram.RecordValue(int64(min(max(d, 1), longest)))
}

func (t *times) stats() Stats {
	n := t.histogram.TotalCount()
	if n == 0 {
		return Stats{}
	}
	at := t.quantiles(50, 95, 99)
	return Stats{
		Count: n,
		Min:   t.least,
		Avg:   t.sum / time.Duration(n),
		P50:   at[0],
		P95:   at[1],
		P99:   at[2],
	}
}

// curve has points at equal steps of nines: as many between 90 % and 99 % as between
// 99 % and 99.9 %, up to the share that ten calls are outside of.
func (t *times) curve() Curve {
	const stepsPerNine = 25
	var c Curve
	var percents []float64
	for i := 0; ; i++ {
		outside := math.Pow(10, -float64(i)/stepsPerNine)
		if outside*float64(t.histogram.TotalCount()) < 10 {
			break
		}
		c = append(c, CurvePoint{Share: 1 - outside})
		percents = append(percents, 100*(1-outside))
	}
	for i, d := range t.quantiles(percents...) {
		c[i].Time = d
	}
	return c
}

// quantiles are in one pass, as a histogram is large.
func (t *times) quantiles(percents ...float64) []time.Duration {
	all := make([]time.Duration, len(percents))
	for i, value := range t.histogram.ValueAtPercentilesSlice(percents) {
		// A histogram answers with the highest value of a bucket, and has no 0.
		if all[i] = time.Duration(value); value <= 1 {
			all[i] = t.least
		}
	}
	return all
}
