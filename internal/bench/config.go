package bench

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Part is one part of the report.
type Part string

// The parts, see docs/PERFORMANCE.md for what each measures.
const (
	PartCalls  Part = "calls"  // single small calls, on one core and on two
	PartSizes  Part = "sizes"  // payloads of all sizes, on one core and on two
	PartRates  Part = "rates"  // calls per second by number of executors
	PartDeaths Part = "deaths" // from the death of an executor to the next answer
	PartStarts Part = "starts" // from the start of an executor to its first answer
	PartFlat   Part = "flat"   // memory, descriptors and threads over many calls
)

// Parts are all of them, in the report's order.
var Parts = []Part{PartCalls, PartSizes, PartRates, PartDeaths, PartStarts, PartFlat}

// Config says what to measure. The JSON is that of the report.
type Config struct {
	// Executor is the executor's program: a path, or a name on PATH. Required.
	Executor string `json:"executor"`

	// PackageDir holds the packages; integration_test_tasks and, for sizes, starts
	// and flat, echo must be among them. Required.
	PackageDir string `json:"package_dir"`

	// Against are other executors' programs, to be measured in the same run
	// with the same packages and calls.
	Against []string `json:"against"`

	// Only are the parts to measure. Empty: all.
	Only []Part `json:"only"`

	// Calls is how many calls of each kind are measured. 0: 10,000.
	Calls int `json:"calls"`

	// Blocks is how many parts the calls come in: after each part the next
	// program has its turn. 0: 20, or Calls if that is less.
	Blocks int `json:"blocks"`

	// WarmUp is how many calls of each kind are made and discarded at first.
	// 0: 1,000. At least the one that loads the package is.
	WarmUp int `json:"warm_up"`

	// Sizes are the payloads of PartSizes, in bytes. Nil: from 100 B to 64 MiB.
	Sizes []int `json:"sizes"`

	// TurnTime is about how long each program is measured with each payload, and at
	// each number of executors: it decides how many calls are made there, at least
	// 10 and at most Calls. 0: 400 ms.
	TurnTime time.Duration `json:"turn_time_ns"`

	// Deaths is how many deaths and starts of each kind are measured. 0: 100, or
	// Calls if that is less.
	Deaths int `json:"deaths"`

	// FlatCalls is how many calls PartFlat makes. 0: 100,000.
	FlatCalls int `json:"flat_calls"`

	// CC is the C compiler for the floor, a name or a path. "": cc. A report
	// made where there is none says so instead of giving a floor.
	CC string `json:"cc"`
}

const (
	defaultCalls     = 10_000
	defaultBlocks    = 20
	defaultWarmUp    = 1_000
	defaultTurnTime  = 400 * time.Millisecond
	defaultDeaths    = 100
	defaultFlatCalls = 100_000
)

// defaultSizes reach from a few numbers to a large file. One is the largest round
// number whose request still fits the frame that every executor takes.
var defaultSizes = []int{100, 1 << 10, 10 << 10, 64 << 10, 256 << 10, 1 << 20, judgedSize, 8<<20 - 1<<10, 16 << 20, 64 << 20}

// validate returns cfg with its defaults filled in and its paths absolute.
func (cfg Config) validate() (Config, error) {
	if cfg.Executor == "" {
		return cfg, errors.New("bench: no executor given")
	}
	if cfg.PackageDir == "" {
		return cfg, errors.New("bench: no package directory given")
	}
	if cfg.Calls < 0 || cfg.Blocks < 0 || cfg.WarmUp < 0 {
		return cfg, fmt.Errorf("bench: %d calls in %d blocks after %d: none may be negative", cfg.Calls, cfg.Blocks, cfg.WarmUp)
	}
	if cfg.TurnTime < 0 || cfg.Deaths < 0 || cfg.FlatCalls < 0 {
		return cfg, fmt.Errorf("bench: turns of %v, %d deaths, %d calls over which all must stay flat: none may be negative", cfg.TurnTime, cfg.Deaths, cfg.FlatCalls)
	}
	for _, size := range cfg.Sizes {
		if size < minSize || size > maxSize {
			return cfg, fmt.Errorf("bench: a payload of %d bytes: from %d to %d", size, minSize, maxSize)
		}
	}
	for _, part := range cfg.Only {
		if !slices.Contains(Parts, part) {
			return cfg, fmt.Errorf("bench: no part %q: there are %s", part, partNames())
		}
	}
	if len(cfg.Only) == 0 {
		cfg.Only = Parts
	}
	orDefault(&cfg.Calls, defaultCalls)
	orDefault(&cfg.Blocks, min(defaultBlocks, cfg.Calls))
	if cfg.Blocks > cfg.Calls {
		return cfg, fmt.Errorf("bench: %d blocks for %d calls", cfg.Blocks, cfg.Calls)
	}
	orDefault(&cfg.WarmUp, defaultWarmUp)
	orDefault(&cfg.TurnTime, defaultTurnTime)
	orDefault(&cfg.Deaths, min(defaultDeaths, cfg.Calls))
	orDefault(&cfg.FlatCalls, defaultFlatCalls)
	if cfg.FlatCalls < flatSamples {
		return cfg, fmt.Errorf("bench: %d calls are too few to see whether anything grows over them: at least %d", cfg.FlatCalls, flatSamples)
	}
	if len(cfg.Sizes) == 0 {
		cfg.Sizes = defaultSizes
	}
	if cfg.CC == "" {
		cfg.CC = "cc"
	}
	var err error
	if cfg.PackageDir, err = filepath.Abs(cfg.PackageDir); err != nil {
		return cfg, fmt.Errorf("bench: package directory: %w", err)
	}
	if cfg.Executor, err = program(cfg.Executor); err != nil {
		return cfg, err
	}
	against := make([]string, len(cfg.Against))
	for i, path := range cfg.Against {
		if against[i], err = program(path); err != nil {
			return cfg, err
		}
	}
	cfg.Against = against
	return cfg, nil
}

func orDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func partNames() string {
	names := make([]string, len(Parts))
	for i, part := range Parts {
		names[i] = string(part)
	}
	return strings.Join(names, ", ")
}

func (cfg *Config) wants(part Part) bool { return slices.Contains(cfg.Only, part) }

// executors are all of them, ours first.
func (cfg *Config) executors() []string { return append([]string{cfg.Executor}, cfg.Against...) }

// executorNames are the names of executors, which differ, also when their programs'
// do not.
func (cfg *Config) executorNames() []string {
	var names []string
	seen := map[string]int{}
	for _, path := range cfg.executors() {
		name := filepath.Base(path)
		if seen[name]++; seen[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, seen[name])
		}
		names = append(names, name)
	}
	return names
}

func program(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("bench: executor: %w", err)
	}
	return filepath.Abs(path)
}

// part returns how many of calls belong to one of blocks parts.
func part(calls, blocks, block int) int {
	n := calls / blocks
	if block < calls%blocks {
		n++
	}
	return n
}
