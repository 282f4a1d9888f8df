package bench

import (
	"testing"
	"time"
)

func TestStats(t *testing.T) {
	const us = time.Microsecond
	upTo := func(n int) (all []time.Duration) {
		// Backwards: the order must not matter.
		for i := n; i > 0; i-- {
			all = append(all, time.Duration(i)*us)
		}
		return all
	}
	for _, tc := range []struct {
		name  string
		times []time.Duration
		want  Stats
	}{
		{"none", nil, Stats{}},
		{"one", []time.Duration{7 * us}, Stats{1, 7 * us, 7 * us, 7 * us, 7 * us, 7 * us}},
		{"zero", []time.Duration{0, 0}, Stats{Count: 2}},
		{"half zero", []time.Duration{0, 0, 0, 4 * us}, Stats{4, 0, us, 0, 4 * us, 4 * us}},
		{"below a microsecond", []time.Duration{100, 200, 300}, Stats{3, 100, 200, 200, 300, 300}},
		{"1 to 100", upTo(100), Stats{100, us, 50*us + 500, 50 * us, 95 * us, 99 * us}},
		{"1 to 10000", upTo(10_000), Stats{10_000, us, 5000*us + 500, 5000 * us, 9500 * us, 9900 * us}},
		{"longer than any", []time.Duration{us, us, us, 2 * time.Hour}, Stats{4, us, 30*time.Minute + 750, us, longest, longest}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			times := newTimes()
			for _, d := range tc.times {
				times.add(d)
			}
			got := times.stats()
			near := func(what string, got, want time.Duration) {
				// The histogram rounds to digits significant digits.
				if off := (got - want).Abs(); off > want/5_000 {
					t.Errorf("%s = %v, want %v", what, got, want)
				}
			}
			if got.Count != tc.want.Count || got.Min != tc.want.Min {
				t.Errorf("count %d, min %v; want %d, %v", got.Count, got.Min, tc.want.Count, tc.want.Min)
			}
			near("avg", got.Avg, tc.want.Avg)
			near("p50", got.P50, tc.want.P50)
			near("p95", got.P95, tc.want.P95)
			near("p99", got.P99, tc.want.P99)
		})
	}
}

func TestStatsLess(t *testing.T) {
	got := Stats{3, 10, 30, 20, 40, 50}.Less(20)
	if want := (Stats{3, -10, 10, 0, 20, 30}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPart(t *testing.T) {
	for _, tc := range []struct{ calls, blocks int }{{10_000, 20}, {50, 2}, {7, 3}, {3, 3}, {1, 1}} {
		sum := 0
		for block := range tc.blocks {
			n := part(tc.calls, tc.blocks, block)
			if n < 1 {
				t.Errorf("%d calls in %d blocks: block %d is empty", tc.calls, tc.blocks, block)
			}
			sum += n
		}
		if sum != tc.calls {
			t.Errorf("%d calls in %d blocks: %d calls", tc.calls, tc.blocks, sum)
		}
	}
}

func TestNumbers(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{micros(0), "0.0"},
		{micros(50 * time.Microsecond), "50.0"},
		{micros(3149), "3.1"},
		{micros(-23 * time.Microsecond), "-23.0"},
		{micros(time.Second), "1000000.0"},
		{ratio(6, 3), "2.00"},
		{ratio(1, 3), "0.33"},
		{ratio(1, 0), "-"},
		{count(1, "block"), "1 block"},
		{count(20, "block"), "20 blocks"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %s, want %s", tc.got, tc.want)
		}
	}
}

func TestCurve(t *testing.T) {
	times := newTimes()
	for i := 1; i <= 1000; i++ {
		times.add(time.Duration(i) * time.Microsecond)
	}
	c := times.curve()
	if len(c) != 51 || c[0].Time < time.Microsecond || c[0].Time > 2*time.Microsecond {
		t.Fatalf("%d points from %v", len(c), c[0])
	}
	for share, want := range map[int]time.Duration{25: 900 * time.Microsecond, 50: 990 * time.Microsecond} {
		if got := c[share].Time; (got - want).Abs() > want/100 {
			t.Errorf("%v of the calls took up to %v, want %v", c[share].Share, got, want)
		}
	}
}

func TestChartNumbers(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{thousands(0), "0"},
		{thousands(999), "999"},
		{thousands(12345), "12,345"},
		{thousands(1234567), "1,234,567"},
		{timeName(500), "500 ns"},
		{timeName(20 * time.Microsecond), "20 µs"},
		{timeName(2 * time.Millisecond), "2 ms"},
		{timeName(5 * time.Second), "5 s"},
		{sizeName(100), "100 B"},
		{sizeName(64 << 10), "64 KiB"},
		{sizeName(8<<20 - 1<<10), "8191 KiB"},
		{sizeName(64 << 20), "64 MiB"},
		{figure(2), "2"},
		{figure(1.5), "1.50"},
	} {
		if tc.got != tc.want {
			t.Errorf("got %s, want %s", tc.got, tc.want)
		}
	}
	for _, high := range []float64{3, 7, 12, 480, 99_999, 250_000} {
		if n := len(countTicks(0, high)); n < 5 || n > 11 {
			t.Errorf("%d ticks up to %v", n, high)
		}
	}
}
