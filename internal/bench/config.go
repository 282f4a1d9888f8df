package bench

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Config says what to measure.
type Config struct {
	// Executor is the executor's program: a path, or a name on PATH. Required.
	Executor string

	// PackageDir holds the packages; integration_test_tasks must be among
	// them. Required.
	PackageDir string

	// Against are other executors' programs, to be measured in the same run
	// with the same packages and calls.
	Against []string

	// Calls is how many calls of each kind are measured. 0: 10,000.
	Calls int

	// Blocks is how many parts the calls come in: after each part the next
	// program has its turn. 0: 20, or Calls if that is less.
	Blocks int

	// WarmUp is how many calls of each kind are made and discarded at first.
	// 0: 1,000. At least the one that loads the package is.
	WarmUp int

	// CC is the C compiler for the floor, a name or a path. "": cc. A report
	// made where there is none says so instead of giving a floor.
	CC string
}

const (
	defaultCalls  = 10_000
	defaultBlocks = 20
	defaultWarmUp = 1_000
)

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
	if cfg.Calls == 0 {
		cfg.Calls = defaultCalls
	}
	if cfg.Blocks == 0 {
		cfg.Blocks = min(defaultBlocks, cfg.Calls)
	}
	if cfg.Blocks > cfg.Calls {
		return cfg, fmt.Errorf("bench: %d blocks for %d calls", cfg.Blocks, cfg.Calls)
	}
	if cfg.WarmUp == 0 {
		cfg.WarmUp = defaultWarmUp
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
