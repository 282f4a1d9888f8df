package pool

import "time"

// Inspect has a pool look at its executors as it does each second.
func (p *Pool) Inspect(now time.Time) { p.inspect(now) }

// Processes are all that a pool has at the moment.
func (p *Pool) Processes() (all []*Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := range p.live {
		all = append(all, e.Process)
	}
	return all
}

// ShutdownPatience is how long a process may take to shut down.
const ShutdownPatience = shutdownPatience

// Why a pool kills.
const (
	KilledReason  = killedReason
	CrowdedReason = crowdedReason
)

// Age makes a pool's executors that much older.
func (p *Pool) Age(by time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := range p.live {
		e.started = e.started.Add(-by)
	}
}

// Note says that a package was called, in the group of another one.
func (p *Pool) Note(of, name string) {
	file, _ := p.packages.find(of)
	p.mu.Lock()
	defer p.mu.Unlock()
	if g, err := p.groupOf(of, file); err == nil {
		g.note(name)
	}
}
