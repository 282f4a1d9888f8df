package bench

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Markdown returns the report as text. All times are microseconds.
func (r *Report) Markdown() string {
	var b strings.Builder
	b.WriteString("# Task executor overhead\n\n")
	r.head(&b)
	for i := range r.Placements {
		r.Placements[i].section(&b)
	}
	if len(r.Placements) == 1 {
		b.WriteString("\n## Two cores\n\nNot measured: only one CPU is available.\n")
	}
	if r.NoFloor != "" {
		fmt.Fprintf(&b, "\nThe C echo was not measured: %s.\n", r.NoFloor)
	}
	return b.String()
}

func (r *Report) head(b *strings.Builder) {
	h := &r.Host
	item := func(what, format string, args ...any) {
		fmt.Fprintf(b, "- %s: %s\n", what, fmt.Sprintf(format, args...))
	}
	item("Date", "%s", h.Date.Format("2006-01-02 15:04:05 MST"))
	item("CPU", "%s; %s available, 1 minute load average %s", h.CPU, count(len(h.CPUs), "core"), h.Load)
	if h.Siblings {
		item("Cores", "CPU %d and CPU %d are two threads of one physical core", h.CPUs[0], h.CPUs[1])
	}
	item("Kernel", "%s", h.Kernel)
	item("Go", "%s", h.Go)
	item("Commit", "%s", h.Commit)
	item("Executor", "%s", r.Config.Executor)
	for _, path := range r.Config.Against {
		item("Against", "%s", path)
	}
	item("Calls", "N = %d of each kind in %s, everything in turn; %d warm-up calls of each kind discarded, and %d more at the start of each block",
		r.Config.Calls, count(r.Config.Blocks, "block"), r.Config.WarmUp, settle)
	item("Task", "`instrument` of `%s`: %d path-like strings in, the same out, after a sleep", taskPackage, paths)
	item("Sleep", "nominal %s us; %s", micros(r.Sleep), r.slept())
	fmt.Fprintf(b, "\nAll times are in microseconds. The sleep that is subtracted was measured in the same process and the same blocks: "+
		"the median executor time of `instrument` with an empty list, minus that of a task that does nothing, so that dispatch is not taken for sleep. "+
		"It is not the nominal sleep, which no timer keeps, nor another process's, whose timer slack and core may differ; "+
		"the sleep that the C echo's child measured around its own nanosleep stands beside it as a check. "+
		"Executors report their time in whole microseconds, rounded down: so executor time and internal are up to 1 us too low, and IPC overhead up to 1 us too high.\n")
}

// slept lists what was measured as the sleep.
func (r *Report) slept() string {
	var parts []string
	for _, p := range r.Placements {
		for _, e := range p.Executors {
			parts = append(parts, fmt.Sprintf("%s in %s", micros(e.Sleep), e.Name))
		}
		if p.Floor != nil {
			parts = append(parts, fmt.Sprintf("%s in the C echo's child", micros(p.Floor.Slept.P50)))
		}
		parts[len(parts)-1] += " (" + p.title() + ")"
	}
	return "measured " + strings.Join(parts, ", ")
}

func (p *Placement) title() string {
	if p.ParentCPU == p.ChildCPU {
		return "one core"
	}
	return "two cores"
}

func (p *Placement) section(b *strings.Builder) {
	if p.ParentCPU == p.ChildCPU {
		fmt.Fprintf(b, "\n## One core\n\nParent and executor both pinned to CPU %d, GOMAXPROCS %d.\n", p.ParentCPU, p.GoMaxProcs)
	} else {
		fmt.Fprintf(b, "\n## Two cores\n\nParent pinned to CPU %d, executor to CPU %d, GOMAXPROCS %d.\n", p.ParentCPU, p.ChildCPU, p.GoMaxProcs)
	}
	names := p.names()

	b.WriteString("\n### The sleeping task\n\n")
	statsHeader(b)
	for i, e := range p.Executors {
		statsRow(b, names[i], "E2E", e.EndToEnd)
		statsRow(b, names[i], "executor time", e.Inside)
		statsRow(b, names[i], "executor internal", e.Internal)
		statsRow(b, names[i], "IPC overhead", e.IPC)
	}
	if f := p.Floor; f != nil {
		statsRow(b, "C echo + sleep", "E2E", f.Sleeping)
		statsRow(b, "C echo + sleep", "slept", f.Slept)
		statsRow(b, "C echo + sleep", "IPC overhead", f.SleepingRest)
		statsRow(b, "C echo", "E2E", f.Echo)
	}
	b.WriteString("\nE2E is the parent's time from the call of `Process.Execute` to its return. Executor time is what the executor answers; " +
		"executor internal is that minus the measured sleep, IPC overhead is E2E minus executor time: together they are what a call costs beyond its task. " +
		"A negative time means a sleep shorter than the median one.\n")

	b.WriteString("\n### The task that does nothing\n\n")
	statsHeader(b)
	for i, e := range p.Executors {
		statsRow(b, names[i], "E2E", e.NoOp)
	}
	if p.Floor != nil {
		statsRow(b, "C echo", "E2E", p.Floor.NoOp)
	}
	b.WriteString("\n`fibonacci(1)`: the pure round trip, dispatch included. The echo's frames have the same sizes.\n")

	p.ratios(b, names)
}

// ratios compares every executor with the floor, and ours with the others.
func (p *Placement) ratios(b *strings.Builder, names []string) {
	var rows []string
	row := func(what string, above, below Stats) {
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |\n", what, ratio(above.P50, below.P50), ratio(above.P99, below.P99)))
	}
	if f := p.Floor; f != nil {
		for i, e := range p.Executors {
			row(names[i]+": IPC overhead / C echo", e.IPC, f.Echo)
			row(names[i]+": IPC overhead / IPC overhead of C echo + sleep", e.IPC, f.SleepingRest)
			row(names[i]+": task that does nothing / C echo", e.NoOp, f.NoOp)
		}
	}
	ours := p.Executors[0]
	for i, e := range p.Executors[1:] {
		row(names[i+1]+" / "+names[0]+": IPC overhead", e.IPC, ours.IPC)
		row(names[i+1]+" / "+names[0]+": task that does nothing", e.NoOp, ours.NoOp)
	}
	if len(rows) == 0 {
		return
	}
	b.WriteString("\n### Ratios\n\n| compared | p50 | p99 |\n|---|---:|---:|\n" + strings.Join(rows, ""))
	b.WriteString("\nThe C echo never sleeps, so its core and caches stay warm. The echo that sleeps like the task does is the fair floor for the sleeping task.\n")
}

// names makes the executors' names differ, also when their programs' do not.
func (p *Placement) names() []string {
	names := make([]string, len(p.Executors))
	seen := map[string]int{}
	for i, e := range p.Executors {
		names[i] = e.Name
		if seen[e.Name]++; seen[e.Name] > 1 {
			names[i] += " (" + strconv.Itoa(seen[e.Name]) + ")"
		}
	}
	return names
}

func statsHeader(b *strings.Builder) {
	b.WriteString("| what | metric | count | min | avg | p50 | p95 | p99 |\n|---|---|---:|---:|---:|---:|---:|---:|\n")
}

func statsRow(b *strings.Builder, what, metric string, s Stats) {
	fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %s | %s | %s |\n", what, metric, s.Count,
		micros(s.Min), micros(s.Avg), micros(s.P50), micros(s.P95), micros(s.P99))
}

func micros(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Microsecond), 'f', 1, 64)
}

func ratio(a, b time.Duration) string {
	if b <= 0 {
		return "-"
	}
	return strconv.FormatFloat(float64(a)/float64(b), 'f', 2, 64)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
