package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/spider-go/spider/internal/bench/workload"
	"github.com/spider-go/spider/pool"
)

// Flat is what parent and executor used over many calls of a pool with one executor.
type Flat struct {
	Calls   int     `json:"calls"`
	Samples []Usage `json:"samples"` // from the first call to the last, at equal distances

	// First and Last are the medians of the first and the last quarter of Samples.
	First Usage `json:"first"`
	Last  Usage `json:"last"`
}

// Usage is what parent and executor use at one moment.
type Usage struct {
	After    int          `json:"after"` // so many calls
	Parent   ProcessUsage `json:"parent"`
	Executor ProcessUsage `json:"executor"`
}

// ProcessUsage is what one process uses.
type ProcessUsage struct {
	Memory      int64 `json:"memory"` // resident, in bytes
	Descriptors int64 `json:"descriptors"`
	Threads     int64 `json:"threads"`
}

// LeastFlatCalls is the least that PartFlat can be told to make.
const LeastFlatCalls = flatSamples

// flatSamples are taken, at equal distances, after one at the beginning.
const flatSamples = 20

// Every so many calls of PartFlat carry something.
const (
	flatStrings = 10   // strings, through the package in Go; else a number
	flatPayload = 100  // 64 KiB, through the package in C
	flatLarge   = 1000 // 1 MiB
)

// measureFlat makes its calls after a tenth as many, in which everything has reached
// its size.
func measureFlat(cfg *Config, kinds *workload.Calls) (f *Flat, err error) {
	ctx := context.Background()
	p, err := pool.New(pool.Config{
		Executor: cfg.Executor, PackageDir: cfg.PackageDir, Executors: 1, Spares: -1, Timeout: callTimeout,
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close(ctx)) }()

	payload, large := kinds.Echo(64<<10), kinds.Echo(1<<20)
	calls := func(n int) error {
		for i := range n {
			c := &kinds.NoOp
			switch {
			case i%flatLarge == 0:
				c = &large
			case i%flatPayload == 0:
				c = &payload
			case i%flatStrings == 0:
				c = &kinds.Instrument
			}
			got, err := p.Execute(ctx, c.Request)
			if err := checked(c, got, err); err != nil {
				return err
			}
		}
		return nil
	}
	f = &Flat{Calls: cfg.FlatCalls}
	pid := 0
	sample := func(after int) error {
		executors := p.Stats().Executors
		if len(executors) != 1 || pid != 0 && executors[0].PID != pid {
			return fmt.Errorf("not the one executor that it began with: %+v", executors)
		}
		pid = executors[0].PID
		// What is garbage, or kept for reuse, is not in use.
		debug.FreeOSMemory()
		parent, err := usageOf(os.Getpid())
		if err != nil {
			return err
		}
		executor, err := usageOf(pid)
		f.Samples = append(f.Samples, Usage{After: after, Parent: parent, Executor: executor})
		return err
	}
	if err := calls(max(1, cfg.FlatCalls/10)); err != nil {
		return nil, err
	}
	if err := sample(0); err != nil {
		return nil, err
	}
	done := 0
	for i := range flatSamples {
		n := part(cfg.FlatCalls, flatSamples, i)
		if err := calls(n); err != nil {
			return nil, err
		}
		done += n
		if err := sample(done); err != nil {
			return nil, err
		}
	}
	quarter := len(f.Samples) / 4
	f.First, f.Last = medianUsage(f.Samples[:quarter]), medianUsage(f.Samples[len(f.Samples)-quarter:])
	return f, nil
}

func usageOf(pid int) (u ProcessUsage, err error) {
	proc := "/proc/" + strconv.Itoa(pid)
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return u, err
	}
	for name, into := range map[string]*int64{"\nVmRSS:": &u.Memory, "\nThreads:": &u.Threads} {
		_, rest, ok := bytes.Cut(status, []byte(name))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		*into, err = strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(line)), " kB"), 10, 64)
		if !ok || err != nil {
			return u, fmt.Errorf("%s/status has no%s", proc, strings.TrimSpace(name))
		}
	}
	u.Memory <<= 10
	open, err := os.ReadDir(proc + "/fd")
	u.Descriptors = int64(len(open))
	return u, err
}

func medianUsage(all []Usage) Usage {
	median := func(field func(*Usage) int64) int64 {
		var values []int64
		for i := range all {
			values = append(values, field(&all[i]))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	process := func(p func(*Usage) *ProcessUsage) ProcessUsage {
		return ProcessUsage{
			Memory:      median(func(u *Usage) int64 { return p(u).Memory }),
			Descriptors: median(func(u *Usage) int64 { return p(u).Descriptors }),
			Threads:     median(func(u *Usage) int64 { return p(u).Threads }),
		}
	}
	return Usage{
		After:    int(median(func(u *Usage) int64 { return int64(u.After) })),
		Parent:   process(func(u *Usage) *ProcessUsage { return &u.Parent }),
		Executor: process(func(u *Usage) *ProcessUsage { return &u.Executor }),
	}
}
