package pool

import (
	"slices"
	"time"
)

// A spare that has just come up has loaded nothing but Config.Preload. The call that gets
// it after a crash would have to load its package first, so spares load what has been
// called lately, in the background and one package after the other. A call that comes
// meanwhile gets another one from stock; if there is none it waits for this one, which
// then stops after the package that it is at, or for a new one, whichever is first.

// recentPackages is how many packages count as called lately, in each group.
const recentPackages = 8

// note says that a package has been called. Only one that has been loaded once is noted.
// p.mu is held.
func (g *group) note(name string) {
	if len(g.recent) > 0 && g.recent[0] == name {
		return
	}
	at := slices.Index(g.recent, name)
	if at < 0 {
		if len(g.recent) < recentPackages {
			g.recent = append(g.recent, "")
		}
		at = len(g.recent) - 1
	}
	copy(g.recent[1:at+1], g.recent[:at])
	g.recent[0] = name
}

// lacks is the package called last that an executor has not loaded, "" if it has all.
// p.mu is held.
func (g *group) lacks(e *executor) string {
	for _, name := range g.recent {
		_, loaded := e.loaded[name]
		if _, declined := e.declined[name]; !loaded && !declined {
			return name
		}
	}
	return ""
}

// loading is how many executors load this package unasked. p.mu is held.
func (g *group) loading(name string) (n int) {
	for _, e := range g.recalling {
		if e.recalling == name {
			n++
		}
	}
	return n
}

// recall has spares load what they lack. There are never more that do so than spares, so
// that a call always finds another or the room for one. p.mu is held.
func (p *Pool) recall(g *group) {
	for i := len(g.stock) - 1; i >= 0 && p.recalling < p.cfg.Spares && !p.closed; i-- {
		e := g.stock[i]
		if e.tasks > 0 || e.due != "" {
			continue
		}
		if e.recalling = g.lacks(e); e.recalling == "" {
			continue
		}
		g.take(i)
		g.recalling = append(g.recalling, e)
		p.recalling++
		p.work.Go(func() { p.recallAll(e) })
	}
}

// recallAll has an executor load one package after the other, until it lacks none or
// somebody wants it.
func (p *Pool) recallAll(e *executor) {
	g := e.group
	for {
		begin := time.Now()
		loaded, err := p.recallOne(e, e.recalling)
		if err != nil && !lives(err) {
			p.mu.Lock()
			e.ending = true
			p.mu.Unlock()
			p.lostLoading(e, e.recalling, begin, err)
		}
		p.mu.Lock()
		name := ""
		switch {
		case e.ending:
			p.total--
		default:
			if !loaded {
				if e.declined == nil {
					e.declined = map[string]struct{}{}
				}
				e.declined[e.recalling] = struct{}{}
			}
			if g.wanting.Len() == 0 && e.due == "" && !p.closed {
				name = g.lacks(e)
			}
		}
		if e.recalling = name; name != "" {
			p.mu.Unlock()
			continue
		}
		g.recalling = slices.DeleteFunc(g.recalling, func(other *executor) bool { return other == e })
		p.recalling--
		if e.ending {
			for g.pending+len(g.recalling) < g.wanting.Len() {
				p.start(g) // for those who waited for it
			}
			p.refill(g)
		} else {
			p.giveBack(e, time.Now())
		}
		for _, g := range p.groups {
			p.recall(g) // there may be one that it has kept from that
		}
		p.mu.Unlock()
		return
	}
}

// recallOne has an executor load a package. It does not try what has not gone well lately.
// The error is of [Pool.load].
func (p *Pool) recallOne(e *executor, name string) (loaded bool, err error) {
	file, err := p.packages.find(name)
	if err != nil || file.program != (e.group.pkg == name) {
		return false, nil
	}
	p.mu.Lock()
	b := p.loads[name]
	p.mu.Unlock()
	if b != nil && b.file == file {
		return false, nil
	}
	// No longer than a call might take, which may wait for it.
	limit := p.cfg.LoadTimeout
	if p.cfg.Timeout > 0 {
		limit = min(limit, p.cfg.Timeout)
	}
	begin := time.Now()
	err = p.load(e, name, file, limit, begin.Add(limit))
	if err != nil && lives(err) {
		p.observe(Event{Kind: EventLoadFailed, Executor: e.number, PID: e.PID(), Program: e.Program(),
			Package: name, Duration: time.Since(begin), Err: err})
	}
	return err == nil, err
}
