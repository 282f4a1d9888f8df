package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/bench/workload"
)

// protocol is that of the workers that are understood.
const protocol = 1

// side is one revision, built.
type side struct {
	name       string // for people
	worker     string // program
	executor   string
	packageDir string
}

// kind is one kind of call.
type kind struct {
	name     string
	call     workload.Call
	byPool   bool
	twoCores bool   // is measured there too
	inputs   string // the file that holds the call's
}

// kinds are all of them. Their inputs go into files in dir.
func kinds(dir string) ([]kind, error) {
	calls, err := workload.New()
	if err != nil {
		return nil, err
	}
	all := []kind{
		{name: "a call that does nothing", call: calls.NoOp, twoCores: true},
		{name: "the same through a pool", call: calls.NoOp, byPool: true},
		{name: "100 strings", call: calls.Instrument, twoCores: true},
		{name: "64 KiB", call: calls.Echo(64 << 10), twoCores: true},
		{name: "1 MiB", call: calls.Echo(1 << 20), twoCores: true},
		{name: "4 MiB", call: calls.Echo(4 << 20)},
	}
	for i := range all {
		all[i].inputs = filepath.Join(dir, strconv.Itoa(i)+".inputs")
		if err := os.WriteFile(all[i].inputs, all[i].call.Request.Inputs, 0o644); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// settings say how to measure.
type settings struct {
	rounds    int
	block     time.Duration // about how long a block of calls takes
	warmUp    time.Duration // about how long calls of each kind are made before that
	quantile  float64       // of the times of a round's calls, by which it is judged
	threshold float64       // 0.05: what is slower by 5 % is a regression
	alpha     float64       // the chance of a false alarm in the whole comparison
}

const (
	leastCalls = 4 // of a block
	mostCalls  = 4000
)

// turns are the order of the blocks of a round, true is the new side's: so a drift
// favours neither. Every other round has it the other way round.
var turns = []bool{false, true, true, false, true, false, false, true}

// row is the outcome of one kind of call at one place.
type row struct {
	kind, place string
	old, new    time.Duration // medians of the rounds' quantiles
	ratios      []float64     // new / old, by round
	ratio       float64       // what lies behind them
	low, high   float64       // the confidence interval
	verdict     verdict
	olds, news  []float64
}

type verdict string

const (
	slower  verdict = "SLOWER"
	faster  verdict = "faster"
	same    verdict = "no regression"
	unclear verdict = "too noisy to tell"
)

// judge says what a row means.
func (r *row) judge(s *settings, tests int) {
	r.ratio, r.low, r.high = estimate(r.ratios, s.alpha/float64(tests))
	switch {
	case r.low > 1 && r.ratio > 1+s.threshold:
		r.verdict = slower
	case r.high > 1+s.threshold:
		r.verdict = unclear
	case r.high < 1:
		r.verdict = faster
	default:
		r.verdict = same
	}
}

// compare measures both sides in turn, at one place after the other.
func compare(ctx context.Context, old, new *side, s *settings, progress io.Writer) ([]*row, error) {
	dir, err := os.MkdirTemp("", "spider-compare-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	all, err := kinds(dir)
	if err != nil {
		return nil, err
	}
	cpus, err := usableCPUs()
	if err != nil {
		return nil, err
	}
	var rows []*row
	places := []struct {
		name          string
		parent, child int
	}{{"one core", cpus[0], cpus[0]}}
	if len(cpus) > 1 {
		places = append(places, places[0])
		places[1].name, places[1].child = "two cores", cpus[1]
	}
	for i, place := range places {
		var here []kind
		first := len(rows)
		for _, k := range all {
			if i == 0 || k.twoCores {
				here = append(here, k)
				rows = append(rows, &row{kind: k.name, place: place.name})
			}
		}
		calls := make([]int, len(here)) // of a block; 0: not known yet
		for round := range s.rounds {
			fmt.Fprintf(progress, "\r%s: round %d of %d", place.name, round+1, s.rounds)
			if err := oneRound(ctx, round, old, new, here, calls, rows[first:], s, place.parent, place.child); err != nil {
				fmt.Fprintln(progress)
				return nil, err
			}
		}
		fmt.Fprintln(progress)
	}
	for _, r := range rows {
		r.judge(s, len(rows))
		r.old, r.new = medianOf(r.olds), medianOf(r.news)
	}
	return rows, nil
}

// oneRound starts both sides anew, so that rounds are independent of each other: where
// in memory a process happens to lie makes it faster or slower for as long as it lives.
func oneRound(ctx context.Context, round int, old, new *side, kinds []kind, calls []int, rows []*row, s *settings, parentCPU, childCPU int) (err error) {
	var workers [2]*worker
	order := []*side{old, new}
	for i := range order {
		i = (i + round) % 2
		if workers[i], err = startWorker(ctx, order[i], kinds, parentCPU, childCPU); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, workers[i].close()) }()
	}
	for i, k := range kinds {
		for first := range workers {
			if err := workers[(first+round)%2].warm(k.name, s.warmUp); err != nil {
				return err
			}
		}
		if calls[i] == 0 {
			times, err := workers[0].run(k.name, 2*leastCalls)
			if err != nil {
				return err
			}
			calls[i] = min(max(leastCalls, int(s.block/quantile(times, 0.5))), mostCalls)
		}
		var took [2][]time.Duration
		for _, isNew := range turns {
			it := 0
			if isNew != (round%2 == 1) {
				it = 1
			}
			times, err := workers[it].run(k.name, calls[i])
			if err != nil {
				return err
			}
			took[it] = append(took[it], times...)
		}
		o, n := float64(quantile(took[0], s.quantile)), float64(quantile(took[1], s.quantile))
		rows[i].olds, rows[i].news = append(rows[i].olds, o), append(rows[i].news, n)
		rows[i].ratios = append(rows[i].ratios, n/o)
	}
	return nil
}

// quantile is more than 0, and no more than a share q of times is below it.
func quantile(times []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return max(1, sorted[int(q*float64(len(sorted)))])
}

func medianOf(values []float64) time.Duration {
	return time.Duration(math.Round(median(slices.Sorted(slices.Values(values)))))
}

// worker is a running one.
type worker struct {
	side   *side
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr strings.Builder
}

func startWorker(ctx context.Context, on *side, kinds []kind, parentCPU, childCPU int) (*worker, error) {
	w := &worker{side: on, cmd: exec.CommandContext(ctx, on.worker)}
	// The task with the strings is not to sleep.
	w.cmd.Env = append(w.cmd.Environ(), "SPIDER_INSTRUMENT_SLEEP_US=0", "SPIDER_TDL_PACKAGE_DIR="+on.packageDir)
	w.cmd.Stderr = &w.stderr
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// What it started ends with it: executors watch their parent.
	var err error
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.out = bufio.NewReader(out)
	if err := onCPU(parentCPU, w.cmd.Start); err != nil {
		return nil, fmt.Errorf("%s: start the worker: %w", on.name, err)
	}
	if err := w.prepare(kinds, childCPU); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *worker) prepare(kinds []kind, childCPU int) error {
	if _, err := w.do(map[string]any{"start": map[string]any{
		"executor": w.side.executor, "package_dir": w.side.packageDir, "cpu": childCPU,
	}}); err != nil {
		return err
	}
	for _, k := range kinds {
		r := &k.call.Request
		if _, err := w.do(map[string]any{"call": map[string]any{
			"name": k.name, "by_pool": k.byPool, "package": r.Package, "task": r.Task,
			"context": r.Context, "inputs": k.inputs,
		}}); err != nil {
			return err
		}
	}
	return nil
}

// warm makes calls for a moment: the first load the package, the next fill caches.
func (w *worker) warm(name string, d time.Duration) error {
	for n, start := leastCalls, time.Now(); n == leastCalls || time.Since(start) < d; n = min(2*n, mostCalls) {
		if _, err := w.run(name, n); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) run(name string, calls int) ([]time.Duration, error) {
	times, err := w.do(map[string]any{"run": map[string]any{"name": name, "calls": calls}})
	if err == nil && len(times) != calls {
		err = fmt.Errorf("%s: the worker made %d calls, not %d", w.side.name, len(times), calls)
	}
	return times, err
}

func (w *worker) do(order map[string]any) ([]time.Duration, error) {
	line, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	if _, err := w.in.Write(append(line, '\n')); err != nil {
		return nil, w.failed(err)
	}
	text, err := w.out.ReadBytes('\n')
	if err != nil {
		return nil, w.failed(err)
	}
	var a struct {
		Protocol int             `json:"protocol"`
		Error    string          `json:"error"`
		Times    []time.Duration `json:"times_ns"`
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, w.failed(err)
	}
	switch {
	case a.Protocol != protocol:
		return nil, fmt.Errorf("%s: its worker speaks protocol %d, not %d", w.side.name, a.Protocol, protocol)
	case a.Error != "":
		return nil, fmt.Errorf("%s: %s", w.side.name, a.Error)
	}
	return a.Times, nil
}

// failed is err with what the worker has said before.
func (w *worker) failed(err error) error {
	_ = w.in.Close()
	_ = w.cmd.Wait()
	return fmt.Errorf("%s: the worker: %w\n%s", w.side.name, err, strings.TrimSpace(w.stderr.String()))
}

func (w *worker) close() error {
	_ = w.in.Close()
	if w.cmd.ProcessState != nil {
		return nil // it has failed, and been waited for
	}
	if err := w.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: the worker: %w\n%s", w.side.name, err, strings.TrimSpace(w.stderr.String()))
	}
	return nil
}

func usableCPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("sched_getaffinity: %w", err)
	}
	var all []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	return all, nil
}

// onCPU has what start forks born on a CPU.
func onCPU(cpu int, start func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("sched_getaffinity: %w", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("pin to CPU %d: %w", cpu, err)
	}
	return errors.Join(start(), unix.SchedSetaffinity(0, &before))
}
