package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spider-go/spider/internal/bench/workload"
)

// envWorker marks the process that Run starts to measure.
const envWorker = "SPIDER_BENCH_WORKER"

// order is what a worker is to do. It comes on its stdin, as JSON.
type order struct {
	Part                Part
	Config              Config
	Bare                bare
	Sleep               time.Duration
	ParentCPU, ChildCPU int // -1: not pinned
}

// answer is what a worker writes to its stdout, as JSON.
type answer struct {
	Error string
	Place Place

	Executors []ExecutorTimes // of PartCalls
	Floor     *FloorTimes
	Sizes     []Size // of PartSizes
	Flat      *Flat  // of PartFlat
}

// Worker must be called first in main, and in a test's TestMain, of every
// program that calls [Run]. It returns at once, unless this process is one that
// Run has started to measure: then it does that and exits.
func Worker() {
	if os.Getenv(envWorker) == "" {
		return
	}
	// Nothing that is started from here is a worker.
	os.Unsetenv(envWorker)
	// Shown is what the runtime found: one, if the pinning was in time.
	pinned := runtime.GOMAXPROCS(0)
	// With one, the runtime's monitor takes the only processor away while a
	// system call waits, and has to be woken to get it back: what a program that
	// shares a core with its executor would avoid, too.
	runtime.GOMAXPROCS(max(2, pinned))
	var o order
	var a answer
	err := json.NewDecoder(os.Stdin).Decode(&o)
	if err == nil {
		a, err = work(&o)
		a.Place = Place{ParentCPU: o.ParentCPU, ChildCPU: o.ChildCPU, ParentCPUs: pinned, GoMaxProcs: runtime.GOMAXPROCS(0)}
	}
	if err != nil {
		a.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		fmt.Fprintln(os.Stderr, "bench: worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func work(o *order) (a answer, err error) {
	calls, err := workload.New()
	if err != nil {
		return a, err
	}
	switch o.Part {
	case PartCalls:
		a.Executors, a.Floor, err = measureCalls(o, calls)
	case PartSizes:
		a.Sizes, err = measureSizes(o, calls)
	case PartFlat:
		a.Flat, err = measureFlat(&o.Config, calls)
	default:
		err = fmt.Errorf("part %q is not for a worker", o.Part)
	}
	return a, err
}

// startWorker runs this program once more, pinned to the parent's CPU, if it is to be
// pinned, from its first instruction on.
func startWorker(ctx context.Context, o *order) (answer, error) {
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

// settle is how many calls are made and discarded at the start of each block,
// when another program's code and data fill the caches.
const settle = 16

// closers end what was started, in the order in which it was.
type closers []func() error

// closeInto adds their errors to err.
func (c *closers) closeInto(err *error) {
	for _, stop := range *c {
		*err = errors.Join(*err, stop())
	}
}
