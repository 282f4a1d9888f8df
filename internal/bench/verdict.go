package bench

import (
	"fmt"
	"strings"
	"time"
)

// The aims, as ratios within one run. Of flatness it is what may be more at the end
// than at the beginning.
const (
	aimSeed  = 1.5 // overhead of the sleeping task, over the C echo
	aimLarge = 2.0 // a call with 4 MiB, over the C echo in shared memory
	aimDeath = 3.0 // from a death to the next answer, over an ordinary call

	aimMemory      = 2.0 // MiB, or aimMemoryShare of the first if that is more
	aimMemoryShare = 0.05
	// A Go runtime opens its poller's two descriptors, and starts a thread, when it
	// first needs them. What leaks, leaks by thousands over so many calls.
	aimThreads     = 2
	aimDescriptors = 2
)

// Outcome is whether an aim was met.
type Outcome string

// The outcomes of an aim.
const (
	Met         Outcome = "met"
	Missed      Outcome = "missed"
	NotMeasured Outcome = "not measured"
)

// Verdict is one aim and what this run says of it.
type Verdict struct {
	Aim     string  `json:"aim"`
	Place   string  `json:"place"` // "one core", "two cores", "not pinned"
	Limit   float64 `json:"limit"` // the most that Value may be
	Value   float64 `json:"value"`
	Outcome Outcome `json:"outcome"`
	Figures string  `json:"figures"` // what Value was made of, or why there is none
}

// judge fills in the verdicts on ours.
func (r *Report) judge() {
	r.Verdicts = nil
	r.judgeCalls()
	r.judgeSizes()
	r.judgeDeaths()
	r.judgeFlat()
}

// judgeRatio adds the verdict on above / below.
func (r *Report) judgeRatio(aim, place string, limit float64, above, below time.Duration, figures string) {
	v := Verdict{Aim: aim, Place: place, Limit: limit, Outcome: NotMeasured, Figures: figures}
	if below > 0 {
		v.Value = float64(above) / float64(below)
		v.Outcome = within(v.Value, limit)
	}
	r.Verdicts = append(r.Verdicts, v)
}

func (r *Report) notMeasured(aim string, limit float64, why string) {
	r.Verdicts = append(r.Verdicts, Verdict{Aim: aim, Limit: limit, Outcome: NotMeasured, Figures: why})
}

func within(value, limit float64) Outcome {
	if value <= limit {
		return Met
	}
	return Missed
}

// without says why a part that needs the C programs has no verdict, "" if it has one.
func (r *Report) without(part Part) string {
	switch {
	case !r.Config.wants(part):
		return fmt.Sprintf("the part %s was not asked for", part)
	case r.NoFloor != "" && (part == PartCalls || part == PartSizes):
		return r.NoFloor
	}
	return ""
}

func (r *Report) judgeCalls() {
	const (
		whole = "100 strings after a sleep: call less sleep, p50 / C echo"
		ipc   = "of it the transport: call less executor's time, p50 / C echo"
	)
	if why := r.without(PartCalls); why != "" {
		r.notMeasured(whole, aimSeed, why)
		r.notMeasured(ipc, aimSeed, why)
		return
	}
	for _, p := range r.Calls.Placements {
		ours, floor := p.Executors[0], p.Floor.Echo.P50
		figures := func(d time.Duration) string { return fmt.Sprintf("%s us / %s us", micros(d), micros(floor)) }
		r.judgeRatio(whole, p.title(), aimSeed, ours.Overhead.P50, floor, figures(ours.Overhead.P50))
		r.judgeRatio(ipc, p.title(), aimSeed, ours.IPC.P50, floor, figures(ours.IPC.P50))
	}
}

func (r *Report) judgeSizes() {
	const aim = "4 MiB in and out, p50 / C echo in shared memory"
	if why := r.without(PartSizes); why != "" {
		r.notMeasured(aim, aimLarge, why)
		return
	}
	found := false
	for _, p := range r.Sizes {
		for _, s := range p.Sizes {
			if s.Bytes != judgedSize {
				continue
			}
			found = true
			ours := s.Executors[0]
			if ours.NotCarried != "" {
				r.notMeasured(aim, aimLarge, ours.NotCarried)
				continue
			}
			r.judgeRatio(aim, p.title(), aimLarge, ours.EndToEnd.P50, s.ShmEcho.EndToEnd.P50,
				fmt.Sprintf("%s us / %s us; without the task's own copy %s us", micros(ours.EndToEnd.P50), micros(s.ShmEcho.EndToEnd.P50), micros(ours.Rest.P50)))
		}
	}
	if !found {
		r.notMeasured(aim, aimLarge, "4 MiB was not among the sizes")
	}
}

func (r *Report) judgeDeaths() {
	const aim = "kill -9 to the next answer with a spare, p50 / ordinary call"
	if why := r.without(PartDeaths); why != "" {
		r.notMeasured(aim, aimDeath, why)
		return
	}
	d := r.Deaths[0]
	r.judgeRatio(aim, "not pinned", aimDeath, d.Preloaded.P50, d.Ordinary.P50,
		fmt.Sprintf("%s us / %s us; a call after a stranger's death takes %s us", micros(d.Preloaded.P50), micros(d.Ordinary.P50), micros(d.Unrelated.P50)))
}

func (r *Report) judgeFlat() {
	if why := r.without(PartFlat); why != "" {
		r.notMeasured("memory, descriptors, threads flat over many calls", 0, why)
		return
	}
	f := r.Flat
	grown := func(what string, first, last, limit float64, unit string) {
		r.Verdicts = append(r.Verdicts, Verdict{
			Aim: what + ", last less first", Place: "not pinned", Limit: limit, Value: last - first,
			Outcome: within(last-first, limit), Figures: strings.TrimSpace(figure(first) + unit + " to " + figure(last) + unit),
		})
	}
	for _, p := range []struct {
		who         string
		first, last ProcessUsage
	}{{"parent", f.First.Parent, f.Last.Parent}, {"executor", f.First.Executor, f.Last.Executor}} {
		over := " of the " + p.who + " over " + count(f.Calls, "call")
		first, last := float64(p.first.Memory)/(1<<20), float64(p.last.Memory)/(1<<20)
		grown("MiB of memory"+over, first, last, max(aimMemory, aimMemoryShare*first), " MiB")
		grown("descriptors"+over, float64(p.first.Descriptors), float64(p.last.Descriptors), aimDescriptors, "")
		grown("threads"+over, float64(p.first.Threads), float64(p.last.Threads), aimThreads, "")
	}
}
