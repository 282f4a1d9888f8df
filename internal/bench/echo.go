package bench

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spider-go/spider/internal/protocol"
)

//go:embed testdata/pipe_echo.c
var echoSource []byte

// buildEcho compiles the floor into dir. The error wraps [exec.ErrNotFound] if
// there is no compiler.
func buildEcho(ctx context.Context, cc, dir string) (string, error) {
	source := filepath.Join(dir, "pipe_echo.c")
	if err := os.WriteFile(source, echoSource, 0o644); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "pipe_echo")
	out, err := exec.CommandContext(ctx, cc, "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("compile the C echo: %w\n%s", err, out)
	}
	return program, nil
}

// echo is the running C program: the floor for one kind of call.
type echo struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out io.Reader

	total *times
	slept *times
	rest  *times // total minus slept, call by call
}

// startEcho starts an echo with frames of the same sizes as c's, whose child
// sleeps before it answers if sleep is above 0.
func startEcho(program string, c *call, sleep time.Duration, parentCPU, childCPU int) (*echo, error) {
	r := &c.request
	request := protocol.HeaderSize + protocol.ExecuteSize(len(r.Package), len(r.Task), len(r.Context), len(r.Inputs))
	response := protocol.HeaderSize + protocol.ResponseSize(len(c.want))
	e := &echo{
		cmd: exec.Command(program, strconv.Itoa(request), strconv.Itoa(response),
			strconv.FormatInt(int64(sleep), 10), strconv.Itoa(parentCPU), strconv.Itoa(childCPU)),
		total: newTimes(), slept: newTimes(), rest: newTimes(),
	}
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
	return e, nil
}

func (e *echo) run(n int, keep bool) error {
	if err := binary.Write(e.in, binary.NativeEndian, uint32(n)); err != nil {
		return fmt.Errorf("the C echo: %w", err)
	}
	results := make([][2]uint64, n)
	if err := binary.Read(e.out, binary.NativeEndian, results); err != nil {
		return fmt.Errorf("the C echo: %w", err)
	}
	if !keep {
		return nil
	}
	for _, r := range results {
		total, slept := time.Duration(r[0]), time.Duration(r[1])
		e.total.add(total)
		e.slept.add(slept)
		e.rest.add(total - slept)
	}
	return nil
}

func (e *echo) close() error {
	// Its end of stdin is what ends it.
	return errors.Join(e.in.Close(), e.cmd.Wait())
}
