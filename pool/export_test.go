package pool

import "time"

// Inspect has a pool look at its executors as it does each second.
func (p *Pool) Inspect(now time.Time) { p.inspect(now) }

// Age makes a pool's executors that much older.
func (p *Pool) Age(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := range p.live {
		e.started = e.started.Add(-by)
	}
}
