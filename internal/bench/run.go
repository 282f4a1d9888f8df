package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spider-go/spider/internal/bench/workload"
	"github.com/spider-go/spider/internal/tasktest/instrument"
	"github.com/spider-go/spider/pool"
)

// SchemaVersion is that of the report's JSON. It rises when a field changes its
// meaning or goes; new fields leave it.
const SchemaVersion = 1

// Report is what Run has measured. A part that was not asked for is nil.
type Report struct {
	Schema int    `json:"schema"`
	Host   Host   `json:"host"`
	Config Config `json:"config"`

	Verdicts []Verdict `json:"verdicts"`

	Calls  *Calls      `json:"calls,omitempty"`
	Sizes  []SizePlace `json:"sizes,omitempty"` // one core for both ends, and one for each where there are two
	Rates  []Rates     `json:"rates,omitempty"` // ours, the others, the C echo
	Deaths []Deaths    `json:"deaths,omitempty"`
	Starts *Starts     `json:"starts,omitempty"`
	Flat   *Flat       `json:"flat,omitempty"`

	// NoFloor says why there is no floor, "" if there is one.
	NoFloor string `json:"no_floor,omitempty"`
}

// Place is where parent and executor ran.
type Place struct {
	ParentCPU  int `json:"parent_cpu"`
	ChildCPU   int `json:"child_cpu"`
	ParentCPUs int `json:"parent_cpus"` // that the measuring parent was pinned to: 1
	GoMaxProcs int `json:"gomaxprocs"`  // of the measuring parent
}

// Calls are single small calls.
type Calls struct {
	Sleep time.Duration `json:"sleep_ns"` // nominal, of the measured task

	// Placements are one core for both ends, and one for each where there are
	// two.
	Placements []Placement `json:"placements"`

	// Ways are the ways to make one call, each with one more layer. Nothing is
	// pinned.
	Ways []Way `json:"ways"`
}

// Placement is what was measured of small calls between two places.
type Placement struct {
	Place
	Executors []ExecutorTimes `json:"executors"`       // the first is ours
	Floor     *FloorTimes     `json:"floor,omitempty"` // nil if there is none
}

// SizePlace is what was measured of payloads between two places.
type SizePlace struct {
	Place
	Sizes []Size `json:"sizes"`
}

// run is what the parts of a report share.
type run struct {
	report *Report
	bare   bare
	calls  *workload.Calls
	places []Place
}

// Run measures, and says on progress, if that is set, what it is about to measure.
// The program it stands in must have called [Worker]. An executor that dies without
// being killed, or one wrong answer, is an error.
func Run(ctx context.Context, cfg Config, progress func(string)) (*Report, error) {
	cfg, err := cfg.validate()
	if err != nil {
		return nil, err
	}
	usable, err := cpus()
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	dir, err := os.MkdirTemp("", "spider-bench-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer os.RemoveAll(dir)

	r := &run{report: &Report{Schema: SchemaVersion, Host: describeHost(usable), Config: cfg}}
	if r.calls, err = workload.New(); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	r.bare, err = buildBare(ctx, cfg.CC, dir)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		r.report.NoFloor = fmt.Sprintf("there is no C compiler %q here", cfg.CC)
	case err != nil:
		return nil, fmt.Errorf("bench: %w", err)
	}
	r.places = []Place{{ParentCPU: usable[0], ChildCPU: usable[0]}}
	if len(usable) > 1 {
		r.places = append(r.places, Place{ParentCPU: usable[0], ChildCPU: usable[1]})
	}
	for _, p := range Parts {
		if !cfg.wants(p) {
			continue
		}
		if progress != nil {
			progress(partTitles[p])
		}
		if err := r.measure(ctx, p); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, fmt.Errorf("bench: %s: %w", p, err)
		}
	}
	r.report.judge()
	return r.report, nil
}

var partTitles = map[Part]string{
	PartCalls:  "small calls",
	PartSizes:  "payloads of all sizes",
	PartRates:  "calls per second",
	PartDeaths: "from a death to the next answer",
	PartStarts: "from a start to the first answer",
	PartFlat:   "memory, descriptors and threads over many calls",
}

func (r *run) measure(ctx context.Context, p Part) (err error) {
	report := r.report
	switch p {
	case PartCalls:
		report.Calls = &Calls{Sleep: instrument.Sleep()}
		err = r.atEachPlace(ctx, p, func(a *answer) {
			report.Calls.Placements = append(report.Calls.Placements, Placement{a.Place, a.Executors, a.Floor})
		})
		if err == nil {
			report.Calls.Ways, err = r.measureWays(ctx)
		}
	case PartSizes:
		err = r.atEachPlace(ctx, p, func(a *answer) {
			report.Sizes = append(report.Sizes, SizePlace{a.Place, a.Sizes})
		})
	case PartRates:
		report.Rates, err = r.measureRates(ctx)
	case PartDeaths:
		report.Deaths, err = r.measureDeaths(ctx)
	case PartStarts:
		report.Starts, err = r.measureStarts(ctx)
	case PartFlat:
		// In a process of its own, since all else here would be seen in this one's.
		var a answer
		a, err = startWorker(ctx, &order{Part: p, Config: report.Config, ParentCPU: -1, ChildCPU: -1})
		report.Flat = a.Flat
	}
	return err
}

// atEachPlace has a worker measure a part at each place.
func (r *run) atEachPlace(ctx context.Context, p Part, take func(*answer)) error {
	for _, place := range r.places {
		a, err := startWorker(ctx, &order{
			Part: p, Config: r.report.Config, Bare: r.bare, Sleep: instrument.Sleep(),
			ParentCPU: place.ParentCPU, ChildCPU: place.ChildCPU,
		})
		if err != nil {
			return fmt.Errorf("parent on CPU %d, child on CPU %d: %w", place.ParentCPU, place.ChildCPU, err)
		}
		take(&a)
	}
	return nil
}

// pool is one of an executor.
func (r *run) pool(program string, executors, spares int, preload ...string) (*pool.Pool, error) {
	return pool.New(pool.Config{
		Executor: program, PackageDir: r.report.Config.PackageDir,
		Executors: executors, Spares: spares, Timeout: callTimeout, Preload: preload,
	})
}
