package pool

import "time"

// Inspect has a pool look at its executors as it does each second.
func (p *Pool) Inspect(now time.Time) { p.inspect(now) }
