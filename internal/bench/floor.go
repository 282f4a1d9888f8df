package bench

import (
	"context"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spider-go/spider/internal/bench/workload"
	"github.com/spider-go/spider/internal/protocol"
)

//go:embed testdata/bare.h testdata/*.c
var bareSources embed.FS

// bare are the C programs that are the floor. Its fields are paths, or all "" where
// there is no compiler.
type bare struct {
	PipeEcho string
	ShmEcho  string
	Executor string // an executor of its own, see bare_executor.c
}

// buildBare compiles them into dir. The error wraps [exec.ErrNotFound] if there is no
// compiler.
func buildBare(ctx context.Context, cc, dir string) (bare, error) {
	if _, err := exec.LookPath(cc); err != nil {
		return bare{}, err
	}
	if err := os.CopyFS(dir, bareSources); err != nil {
		return bare{}, err
	}
	b := bare{
		PipeEcho: filepath.Join(dir, "pipe_echo"),
		ShmEcho:  filepath.Join(dir, "shm_echo"),
		Executor: filepath.Join(dir, "bare_executor"),
	}
	for _, program := range []string{b.PipeEcho, b.ShmEcho, b.Executor} {
		source := filepath.Join(dir, "testdata", filepath.Base(program)+".c")
		out, err := exec.CommandContext(ctx, cc, "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source).CombinedOutput()
		if err != nil {
			return bare{}, fmt.Errorf("compile %s: %w\n%s", filepath.Base(source), err, out)
		}
	}
	return b, nil
}

// echo is a running C program: the floor for one kind of call.
type echo struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	out      io.Reader
	capacity int // of its pipes, in bytes; 0 where that does not matter

	total  *times
	inside *times // what the child says: its sleep, or its copies
	rest   *times // total minus inside, call by call
}

// frames are how large request and response of a call are.
func frames(c *workload.Call) (request, response int) {
	r := &c.Request
	return protocol.HeaderSize + protocol.ExecuteSize(len(r.Package), len(r.Task), len(r.Context), len(r.Inputs)),
		protocol.HeaderSize + protocol.ResponseSize(len(c.Want))
}

// startPipeEcho starts an echo with frames of the same sizes as c's, whose child
// sleeps before it answers if sleep is above 0, and whose pipes hold pipe bytes if
// that is above 0 and the system permits it. CPUs of -1 pin nothing.
func startPipeEcho(program string, c *workload.Call, sleep time.Duration, parentCPU, childCPU, pipe int) (*echo, error) {
	request, response := frames(c)
	return startEcho(program, strconv.Itoa(request), strconv.Itoa(response),
		strconv.FormatInt(int64(sleep), 10), strconv.Itoa(parentCPU), strconv.Itoa(childCPU), strconv.Itoa(pipe))
}

// startShmEcho starts an echo whose payloads have the size of c's.
func startShmEcho(program string, c *workload.Call, parentCPU, childCPU int) (*echo, error) {
	return startEcho(program, strconv.Itoa(len(c.Want)), strconv.Itoa(parentCPU), strconv.Itoa(childCPU))
}

func startEcho(program string, args ...string) (*echo, error) {
	e := &echo{cmd: exec.Command(program, args...), total: newTimes(), inside: newTimes(), rest: newTimes()}
	e.cmd.Stderr = os.Stderr
	var err error
	if e.in, err = e.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if e.out, err = e.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the C echo: %w", err)
	}
	var capacity uint32
	if err := binary.Read(e.out, binary.NativeEndian, &capacity); err != nil {
		return nil, errors.Join(fmt.Errorf("start the C echo: %w", err), e.close())
	}
	e.capacity = int(capacity)
	return e, nil
}

// calls makes n calls and returns what each took, and of it what the child says.
func (e *echo) calls(n int) ([][2]uint64, error) {
	if err := binary.Write(e.in, binary.NativeEndian, uint32(n)); err != nil {
		return nil, fmt.Errorf("the C echo: %w", err)
	}
	results := make([][2]uint64, n)
	if err := binary.Read(e.out, binary.NativeEndian, results); err != nil {
		return nil, fmt.Errorf("the C echo: %w", err)
	}
	return results, nil
}

func (e *echo) run(n int, keep bool) error {
	results, err := e.calls(n)
	if err != nil || !keep {
		return err
	}
	for _, r := range results {
		total, inside := time.Duration(r[0]), time.Duration(r[1])
		e.total.add(total)
		e.inside.add(inside)
		e.rest.add(total - inside)
	}
	return nil
}

func (e *echo) close() error {
	// Its end of stdin is what ends it.
	return errors.Join(e.in.Close(), e.cmd.Wait())
}
