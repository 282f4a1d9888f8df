package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/spider-go/spider/internal/bench/workload"
	"github.com/spider-go/spider/pool"
)

// Rates are how many calls a second something makes.
type Rates struct {
	Name  string `json:"name"`
	Rates []Rate `json:"rates"`
}

// Rate is how many calls were made per second when as many callers as executors
// called at once.
type Rate struct {
	Executors int     `json:"executors"`
	PerSecond float64 `json:"per_second"`
	Stats             // of one call
}

// poolSizes are the numbers of executors whose rate is measured.
var poolSizes = []int{1, 2, 4, 8}

// rateBlocks is how many turns each number of executors gets.
const rateBlocks = 5

// A rater makes calls for about a time, as many at once as it has executors, and
// says how many and how long it really took.
type rater interface {
	run(ctx context.Context, d time.Duration, keep bool) (calls int64, took time.Duration, err error)
	times() *times
	close() error
}

// measureRates measures how many calls a second a pool makes of each executor, and as
// many C echoes as the pool has executors. Nothing is pinned.
func (r *run) measureRates(ctx context.Context) ([]Rates, error) {
	cfg := &r.report.Config
	names := cfg.executorNames()
	all := make([]Rates, 0, len(names)+1)
	for _, name := range names {
		all = append(all, Rates{Name: name})
	}
	if r.bare.PipeEcho != "" {
		all = append(all, Rates{Name: "C echo, pipes"})
	}
	for _, n := range poolSizes {
		rates, err := r.measureRate(ctx, n)
		if err != nil {
			return nil, err
		}
		for i, rate := range rates {
			all[i].Rates = append(all[i].Rates, rate)
		}
	}
	return all, nil
}

func (r *run) measureRate(ctx context.Context, n int) (rates []Rate, err error) {
	cfg, c := &r.report.Config, &r.calls.NoOp
	var open closers
	defer open.closeInto(&err)
	var raters []rater
	for _, program := range cfg.executors() {
		p, err := r.pool(program, n, -1)
		if err != nil {
			return nil, err
		}
		raters = append(raters, &pooled{pool: p, callers: make([][]time.Duration, n), call: c, all: newTimes()})
		open = append(open, raters[len(raters)-1].close)
	}
	if r.bare.PipeEcho != "" {
		e, err := startEchoes(r.bare.PipeEcho, n, c)
		if err != nil {
			return nil, err
		}
		raters = append(raters, e)
		open = append(open, e.close)
	}

	calls, took := make([]int64, len(raters)), make([]time.Duration, len(raters))
	turn := cfg.TurnTime / rateBlocks
	for _, it := range raters {
		if _, _, err := it.run(ctx, turn, false); err != nil {
			return nil, err
		}
	}
	for block := range rateBlocks {
		for i := range raters {
			i = (block + i) % len(raters)
			m, d, err := raters[i].run(ctx, turn, true)
			if err != nil {
				return nil, errors.Join(ctx.Err(), err)
			}
			calls[i] += m
			took[i] += d
		}
	}
	for i, it := range raters {
		rates = append(rates, Rate{Executors: n, PerSecond: float64(calls[i]) / took[i].Seconds(), Stats: it.times().stats()})
	}
	return rates, nil
}

// pooled is a pool with as many callers as executors.
type pooled struct {
	pool    *pool.Pool
	callers [][]time.Duration // what the calls of each took in this turn; reused
	call    *workload.Call
	all     *times
}

func (p *pooled) run(ctx context.Context, d time.Duration, keep bool) (calls int64, took time.Duration, err error) {
	failed := make([]error, len(p.callers))
	var callers sync.WaitGroup
	begin := time.Now()
	for i := range p.callers {
		callers.Go(func() {
			mine := p.callers[i][:0]
			// One at least, so that each executor has its package loaded.
			for len(mine) == 0 || failed[i] == nil && time.Since(begin) < d {
				start := time.Now()
				got, err := p.pool.Execute(ctx, p.call.Request)
				mine = append(mine, time.Since(start))
				failed[i] = checked(p.call, got, err)
			}
			p.callers[i] = mine
		})
	}
	callers.Wait()
	took = time.Since(begin)
	for _, mine := range p.callers {
		calls += int64(len(mine))
		for _, d := range mine {
			if keep {
				p.all.add(d)
			}
		}
	}
	return calls, took, errors.Join(failed...)
}

func (p *pooled) times() *times { return p.all }
func (p *pooled) close() error  { return p.pool.Close(context.Background()) }

// echoes are C echoes that run at once.
type echoes struct {
	list []*echo
	all  *times
	each time.Duration // about how long a call takes
}

func startEchoes(program string, n int, c *workload.Call) (e *echoes, err error) {
	e = &echoes{all: newTimes()}
	for range n {
		one, err := startPipeEcho(program, c, 0, -1, -1, 0)
		if err != nil {
			return nil, errors.Join(err, e.close())
		}
		e.list = append(e.list, one)
	}
	return e, nil
}

func (e *echoes) run(ctx context.Context, d time.Duration, keep bool) (calls int64, took time.Duration, err error) {
	if ctx.Err() != nil {
		return 0, 0, ctx.Err()
	}
	n := 200
	if e.each > 0 {
		n = max(1, int(d/e.each))
	}
	results := make([][][2]uint64, len(e.list))
	failed := make([]error, len(e.list))
	var running sync.WaitGroup
	begin := time.Now()
	for i, one := range e.list {
		running.Go(func() { results[i], failed[i] = one.calls(n) })
	}
	running.Wait()
	took = time.Since(begin)
	e.each = max(1, took/time.Duration(n))
	for _, all := range results {
		for _, r := range all {
			if keep {
				e.all.add(time.Duration(r[0]))
			}
		}
	}
	return int64(n * len(e.list)), took, errors.Join(failed...)
}

func (e *echoes) times() *times { return e.all }

func (e *echoes) close() (err error) {
	for _, one := range e.list {
		err = errors.Join(err, one.close())
	}
	return err
}
