package bench

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spider-go/spider/internal/bench/workload"
)

// Markdown returns the whole report as text. All times are microseconds.
func (r *Report) Markdown() string {
	var b strings.Builder
	b.WriteString("# Spider, measured\n\n")
	r.verdicts(&b)
	b.WriteString("\n## Where and how\n\n")
	r.head(&b)
	if r.NoFloor != "" {
		fmt.Fprintf(&b, "\nThe C programs were not measured: %s.\n", r.NoFloor)
	}
	if r.Calls != nil {
		b.WriteString("\n## Small calls\n\n")
		r.chart(&b, chartNoOp, "how long a call that does nothing takes")
		r.chart(&b, chartSeed, "what a call with 100 strings costs beyond its task")
		r.sleepNote(&b)
		for i := range r.Calls.Placements {
			r.Calls.Placements[i].section(&b, "###")
		}
		r.ways(&b)
	}
	if r.Sizes != nil {
		r.sizes(&b)
	}
	if r.Rates != nil {
		r.rates(&b)
	}
	if r.Deaths != nil {
		r.deaths(&b)
	}
	if r.Starts != nil {
		r.starts(&b)
	}
	if r.Flat != nil {
		r.flat(&b)
	}
	return b.String()
}

// OverheadMarkdown returns the part on small calls alone, "" if it was not measured.
func (r *Report) OverheadMarkdown() string {
	if r.Calls == nil {
		return ""
	}
	var b strings.Builder
	b.WriteString("# Task executor overhead\n\n")
	r.head(&b)
	b.WriteString("\n")
	r.sleepNote(&b)
	for i := range r.Calls.Placements {
		r.Calls.Placements[i].section(&b, "##")
	}
	if len(r.Calls.Placements) == 1 {
		b.WriteString("\n## Two cores\n\nNot measured: only one CPU is available.\n")
	}
	if r.NoFloor != "" {
		fmt.Fprintf(&b, "\nThe C echo was not measured: %s.\n", r.NoFloor)
	}
	return b.String()
}

func (r *Report) verdicts(b *strings.Builder) {
	b.WriteString("| aim | where | at most | measured | | figures |\n|---|---|---:|---:|---|---|\n")
	for _, v := range r.Verdicts {
		measured := "-"
		if v.Outcome != NotMeasured {
			measured = figure(v.Value)
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | **%s** | %s |\n", v.Aim, v.Place, figure(v.Limit), measured, v.Outcome, v.Figures)
	}
	b.WriteString("\nRatios of medians, all from this run. What is measured against each other took turns on the same cores, " +
		"so the ratios hold where the times, on a machine that others use too, may not.\n")
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
	if r.Calls != nil {
		item("Task", "`instrument` of `%s`: %d path-like strings in, the same out, after a sleep", workload.Package, workload.Paths)
		item("Sleep", "nominal %s us; %s", micros(r.Calls.Sleep), r.slept())
	}
}

func (r *Report) sleepNote(b *strings.Builder) {
	fmt.Fprintf(b, "All times are in microseconds. The sleep that is subtracted was measured in the same process and the same blocks: "+
		"the median executor time of `instrument` with an empty list, minus that of a task that does nothing, so that dispatch is not taken for sleep. "+
		"It is not the nominal sleep, which no timer keeps, nor another process's, whose timer slack and core may differ; "+
		"the sleep that the C echo's child measured around its own nanosleep stands beside it as a check. "+
		"Executors report their time in whole microseconds, rounded down: so executor time and internal are up to 1 us too low, and IPC overhead up to 1 us too high.\n")
}

// slept lists what was measured as the sleep.
func (r *Report) slept() string {
	var parts []string
	for _, p := range r.Calls.Placements {
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

func (p *Place) title() string {
	if p.ParentCPU == p.ChildCPU {
		return "one core"
	}
	return "two cores"
}

func (p *Placement) section(b *strings.Builder, level string) {
	if p.ParentCPU == p.ChildCPU {
		fmt.Fprintf(b, "\n%s One core\n\nParent and executor both pinned to CPU %d, GOMAXPROCS %d.\n", level, p.ParentCPU, p.GoMaxProcs)
	} else {
		fmt.Fprintf(b, "\n%s Two cores\n\nParent pinned to CPU %d, executor to CPU %d, GOMAXPROCS %d.\n", level, p.ParentCPU, p.ChildCPU, p.GoMaxProcs)
	}
	level += "#"

	fmt.Fprintf(b, "\n%s The sleeping task\n\n", level)
	statsHeader(b)
	for _, e := range p.Executors {
		statsRow(b, e.Name, "E2E", e.EndToEnd)
		statsRow(b, e.Name, "executor time", e.Inside)
		statsRow(b, e.Name, "executor internal", e.Internal)
		statsRow(b, e.Name, "IPC overhead", e.IPC)
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

	fmt.Fprintf(b, "\n%s The task that does nothing\n\n", level)
	statsHeader(b)
	for _, e := range p.Executors {
		statsRow(b, e.Name, "E2E", e.NoOp)
	}
	if p.Floor != nil {
		statsRow(b, "C echo", "E2E", p.Floor.NoOp)
	}
	b.WriteString("\n`fibonacci(1)`: the pure round trip, dispatch included. The echo's frames have the same sizes.\n")

	p.ratios(b, level)
}

// ratios compares every executor with the floor, and ours with the others.
func (p *Placement) ratios(b *strings.Builder, level string) {
	var rows []string
	row := func(what string, above, below Stats) {
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |\n", what, ratio(above.P50, below.P50), ratio(above.P99, below.P99)))
	}
	if f := p.Floor; f != nil {
		for _, e := range p.Executors {
			row(e.Name+": IPC overhead and executor internal / C echo", e.Overhead, f.Echo)
			row(e.Name+": IPC overhead / C echo", e.IPC, f.Echo)
			row(e.Name+": IPC overhead / IPC overhead of C echo + sleep", e.IPC, f.SleepingRest)
			row(e.Name+": task that does nothing / C echo", e.NoOp, f.NoOp)
		}
	}
	ours := p.Executors[0]
	for _, e := range p.Executors[1:] {
		row(e.Name+" / "+ours.Name+": IPC overhead", e.IPC, ours.IPC)
		row(e.Name+" / "+ours.Name+": task that does nothing", e.NoOp, ours.NoOp)
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s Ratios\n\n| compared | p50 | p99 |\n|---|---:|---:|\n%s", level, strings.Join(rows, ""))
	b.WriteString("\nThe C echo never sleeps, so its core and caches stay warm. The echo that sleeps like the task does is the fair floor for the sleeping task.\n")
}

func (r *Report) ways(b *strings.Builder) {
	b.WriteString("\n### The way through the layers\n\nThe task that does nothing, by every way to call it, in turn; nothing is pinned.\n\n")
	b.WriteString("| way | p50 | p95 | p99 | average |\n|---|---:|---:|---:|---:|\n")
	for _, w := range r.Calls.Ways {
		wayRow(b, w.Name, w.Stats)
	}
	fmt.Fprintf(b, "\nThe bare C executor speaks the protocol, but has no packages: what it takes is the parent's own. "+
		"Spinning, both ends look for %s us for what the other writes before they block (`Spin` of pool's Config), if they have two cores.\n", micros(spinTime))
}

func wayRow(b *strings.Builder, name string, s Stats) {
	fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", name, micros(s.P50), micros(s.P95), micros(s.P99), micros(s.Avg))
}

func (r *Report) sizes(b *strings.Builder) {
	b.WriteString("\n## Payloads\n\n")
	r.chart(b, chartSizes, "time by size of the payload")
	fmt.Fprintf(b, "A payload in, the same one out, by a task in C that copies it once (of the package `%s`). "+
		"The executor's time is that copy, into memory fresh from malloc; the rest is the way there and back. "+
		"Answers go into the memory of the last one (`OutputBuffer`), as they do in the C programs. "+
		"The C echo over pipes sends frames of the same sizes, without a copy of its own; its pipes hold 1 MiB where the system permits it and the payload is larger than 64 KiB. "+
		"The C echo in shared memory copies a payload four times, twice in each process: its child's two copies stand as its executor's time. "+
		"Each is measured for about %s ms, with at least %d calls.\n", workload.EchoPackage, strconv.FormatInt(r.Config.TurnTime.Milliseconds(), 10), min(leastCalls, r.Config.Calls))
	for _, p := range r.Sizes {
		title := p.title()
		fmt.Fprintf(b, "\n### %s\n\n", strings.ToUpper(title[:1])+title[1:])
		b.WriteString("| payload | what | calls | p50 | p95 | p99 | executor's time, p50 | rest, p50 | / C, pipes | / C, shared memory |\n|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n")
		for _, s := range p.Sizes {
			row := func(t *Transfer) {
				if t == nil {
					return
				}
				if t.NotCarried != "" {
					fmt.Fprintf(b, "| %s | %s | not carried | | | | | | | |\n", sizeName(s.Bytes), t.Name)
					return
				}
				by := func(floor *Transfer) string {
					if floor == nil {
						return "-"
					}
					return ratio(t.EndToEnd.P50, floor.EndToEnd.P50)
				}
				fmt.Fprintf(b, "| %s | %s | %d | %s | %s | %s | %s | %s | %s | %s |\n", sizeName(s.Bytes), t.Name, t.EndToEnd.Count,
					micros(t.EndToEnd.P50), micros(t.EndToEnd.P95), micros(t.EndToEnd.P99), micros(t.Inside.P50), micros(t.Rest.P50), by(s.PipeEcho), by(s.ShmEcho))
			}
			for i := range s.Executors {
				row(&s.Executors[i])
			}
			row(s.PipeEcho)
			row(s.ShmEcho)
		}
	}
	var reasons []string
	for _, p := range r.Sizes {
		for _, s := range p.Sizes {
			for _, t := range s.Executors {
				if line := fmt.Sprintf("- %s with %s: %s\n", t.Name, sizeName(s.Bytes), t.NotCarried); t.NotCarried != "" && !slices.Contains(reasons, line) {
					reasons = append(reasons, line)
				}
			}
		}
	}
	if len(reasons) > 0 {
		b.WriteString("\nNot carried, in the words of who refused:\n\n" + strings.Join(reasons, ""))
	}
}

func (r *Report) rates(b *strings.Builder) {
	b.WriteString("\n## Calls per second\n\n")
	r.chart(b, chartRates, "calls per second by number of executors")
	b.WriteString("A pool with as many callers as executors, without a pause, of the task that does nothing; and as many C echoes at once. Nothing is pinned.\n\n")
	b.WriteString("| executors | what | calls per second | p50 | p99 |\n|---:|---|---:|---:|---:|\n")
	for i := range poolSizes {
		for _, all := range r.Rates {
			rate := all.Rates[i]
			fmt.Fprintf(b, "| %d | %s | %.0f | %s | %s |\n", rate.Executors, all.Name, rate.PerSecond, micros(rate.P50), micros(rate.P99))
		}
	}
}

func (r *Report) deaths(b *strings.Builder) {
	fmt.Fprintf(b, "\n## From a death to the next answer\n\nThe executor of a pool that answered last is killed by SIGKILL, %s; the call right after that. "+
		"The kinds take turns. Nothing is pinned.\n\n| what | p50 | p95 | p99 | average |\n|---|---:|---:|---:|---:|\n", count(r.Config.Deaths, "time"))
	for _, d := range r.Deaths {
		wayRow(b, d.Name+": an ordinary call, nothing has died", d.Ordinary)
		wayRow(b, d.Name+": a process that is not the pool's has died", d.Unrelated)
		wayRow(b, d.Name+": with a spare that has the package loaded", d.Preloaded)
		wayRow(b, d.Name+": with a spare", d.Spare)
		wayRow(b, d.Name+": without a spare", d.WithoutOne)
	}
	b.WriteString("\nA process that dies keeps a core busy for a while, whoever's it is: the second row tells how much of the others is that.\n")
}

func (r *Report) starts(b *strings.Builder) {
	fmt.Fprintf(b, "\n## From a start to the first answer\n\n%s each, in turn. Nothing is pinned.\n\n| what | p50 | p95 | p99 | average |\n|---|---:|---:|---:|---:|\n", count(r.Config.Deaths, "start"))
	if r.Starts.BareC != nil {
		wayRow(b, "a bare C program, started by one", *r.Starts.BareC)
		wayRow(b, "the same as an executor", *r.Starts.BareExecutor)
	}
	for _, e := range r.Starts.Executors {
		wayRow(b, e.Name+", a package in C", e.CPackage)
		wayRow(b, e.Name+", a package in Go", e.GoPackage)
		wayRow(b, e.Name+", a package in Go, by a new pool", e.Pool)
	}
}

func (r *Report) flat(b *strings.Builder) {
	f := r.Flat
	fmt.Fprintf(b, "\n## Over many calls\n\n%s of a pool with one executor, after a tenth as many: every %dth with %d strings, every %dth with 64 KiB, every %dth with 1 MiB, the others with a number. "+
		"The parent collects its garbage before it looks. First and last are medians of the first and the last quarter of %s.\n\n",
		count(f.Calls, "call"), flatStrings, workload.Paths, flatPayload, flatLarge, count(len(f.Samples), "sample"))
	b.WriteString("| after calls | parent: memory, MiB | descriptors | threads | executor: memory, MiB | descriptors | threads |\n|---:|---:|---:|---:|---:|---:|---:|\n")
	row := func(name string, u Usage) {
		fmt.Fprintf(b, "| %s | %.1f | %d | %d | %.1f | %d | %d |\n", name, float64(u.Parent.Memory)/(1<<20), u.Parent.Descriptors, u.Parent.Threads,
			float64(u.Executor.Memory)/(1<<20), u.Executor.Descriptors, u.Executor.Threads)
	}
	row("**first**", f.First)
	row("**last**", f.Last)
	for i := 0; i < len(f.Samples); i += 4 {
		row(strconv.Itoa(f.Samples[i].After), f.Samples[i])
	}
}

// chart shows one, if it was drawn.
func (r *Report) chart(b *strings.Builder, file, what string) {
	fmt.Fprintf(b, "![%s](%s)\n\n", strings.ToUpper(what[:1])+what[1:], file)
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

// figure is a number with as many digits as matter.
func figure(v float64) string {
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
