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

// SharedTaken reports whether the process has taken the shared memory it was offered.
func (p *Process) SharedTaken() bool { return p.shared != nil && p.shared.Taken() }

// SharedResident is how many bytes of it are in use.
func (p *Process) SharedResident() int64 {
	if p.shared == nil {
		return 0
	}
	return p.shared.Resident()
}

// AgeShared makes what is in it that much older.
func (p *Process) AgeShared(by time.Duration) { p.largeAt = p.largeAt.Add(-by) }

// SharedResident is how many bytes of shared memory a pool's executors have.
func (p *Pool) SharedResident() (sum int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := range p.live {
		sum += e.Process.SharedResident()
	}
	return sum
}
