package pool

import (
	"fmt"
	"time"
)

// watchEvery is how often the pool looks at its executors' age and memory.
const watchEvery = time.Second

// watch looks after executors' age and memory, also while they run tasks.
func (p *Pool) watch() {
	every := watchEvery
	if p.cfg.Limits.Memory > 0 {
		every = memoryEvery
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for {
		select {
		case <-p.done:
			return
		case <-look.C:
			p.packages.age.Add(1)
		case <-tick.C:
			p.inspect(time.Now())
		}
	}
}

// inspect looks at executors' memory and age.
func (p *Pool) inspect(now time.Time) {
	p.mu.Lock()
	all := make([]*executor, 0, len(p.live))
	for e := range p.live {
		all = append(all, e)
	}
	p.mu.Unlock()

	sizes := make([]int64, len(all))
	for i, e := range all {
		m, _ := e.sampleMemory()
		// Payloads are not its own.
		sizes[i] = e.own(m)
		if limit := p.cfg.Limits.Memory; limit > 0 && sizes[i] > limit {
			e.Kill(fmt.Sprintf("it has %d bytes of resident memory, over its limit of %d", sizes[i], limit))
		}
	}

	var idle []*executor
	defer func() {
		for _, e := range idle {
			e.releaseShared()
		}
	}()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	for i, e := range all {
		if e.coming || e.ending || e.recalling != "" {
			continue
		}
		// What runs a call is retired after it.
		p.mark(e, now)
		if !e.running && now.Sub(e.idle) > sharedPatience {
			idle = append(idle, e)
		}
		if e.due == "" && p.cfg.MaxGrowth > 0 && e.size > 0 && sizes[i]-e.size > p.cfg.MaxGrowth {
			e.due = RecycledGrowth
		}
	}
	for _, g := range p.groups {
		p.renew(g)
	}
}
