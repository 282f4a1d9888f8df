package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spider-go/spider/internal/tasktest/instrument"
)

// Report is what Run has measured.
type Report struct {
	Host   Host
	Config Config
	Sleep  time.Duration // nominal, of the measured task

	// Placements are one core for both ends, and one for each where there are
	// two.
	Placements []Placement

	// NoFloor says why there is no floor, "" if there is one.
	NoFloor string
}

// Placement is all that was measured between two places.
type Placement struct {
	ParentCPU, ChildCPU int
	ParentCPUs          int             // that the measuring parent was pinned to: 1
	GoMaxProcs          int             // of the measuring parent
	Executors           []ExecutorTimes // the first is ours
	Floor               *FloorTimes     // nil if there is none
}

// Run measures. It takes about a second for every thousand calls and program.
// The program it stands in must have called [Worker]. An executor that dies, or
// one wrong answer, is an error.
func Run(ctx context.Context, cfg Config) (*Report, error) {
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

	r := &Report{Host: describeHost(usable), Config: cfg, Sleep: instrument.Sleep()}
	floor, err := buildEcho(ctx, cfg.CC, dir)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		r.NoFloor = fmt.Sprintf("there is no C compiler %q here", cfg.CC)
	case err != nil:
		return nil, fmt.Errorf("bench: %w", err)
	}

	children := []int{usable[0]}
	if len(usable) > 1 {
		children = append(children, usable[1])
	}
	for _, child := range children {
		a, err := startWorker(ctx, order{
			Config: cfg, Echo: floor, Sleep: r.Sleep,
			ParentCPU: usable[0], ChildCPU: child,
		})
		if err != nil {
			return nil, fmt.Errorf("bench: parent on CPU %d, child on CPU %d: %w", usable[0], child, err)
		}
		r.Placements = append(r.Placements, Placement{
			ParentCPU: usable[0], ChildCPU: child,
			ParentCPUs: a.CPUs, GoMaxProcs: a.GoMaxProcs, Executors: a.Executors, Floor: a.Floor,
		})
	}
	return r, nil
}

// startWorker runs this program once more, pinned to the parent's CPU from its
// first instruction on.
func startWorker(ctx context.Context, o order) (answer, error) {
	self, err := os.Executable()
	if err != nil {
		return answer{}, err
	}
	input, err := json.Marshal(o)
	if err != nil {
		return answer{}, err
	}
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), envWorker+"=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	// The worker must not outlive this process. The signal comes when the
	// thread that forked it ends: onCPU keeps the thread until Wait is back.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = onCPU(o.ParentCPU, cmd.Run)
	if ctx.Err() != nil {
		return answer{}, ctx.Err()
	}
	if err != nil {
		return answer{}, fmt.Errorf("the measuring process: %w\n%s", err, strings.TrimSpace(stderr.String()))
	}
	var a answer
	if err := json.Unmarshal(stdout.Bytes(), &a); err != nil {
		return answer{}, fmt.Errorf("the measuring process answered nonsense (does main call bench.Worker first?): %w", err)
	}
	if a.Error != "" {
		return answer{}, errors.New(a.Error)
	}
	return a, nil
}
