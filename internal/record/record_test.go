package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

func TestOutcomes(t *testing.T) {
	report := pool.Report{Package: "p", Task: "t", Phase: pool.PhaseRun, Executor: 3, Program: "/x",
		Exit: pool.Exit{PID: 7, Code: -1, Signal: syscall.SIGSEGV}, Ran: 2 * time.Millisecond, Served: 5, Stderr: []string{"last"}}
	crash := &pool.CrashError{Report: report}
	for _, test := range []struct {
		err  error
		want Outcome
		kind string
		pid  int
	}{
		{&pool.ExecutorError{Package: "p", Task: "t", Kind: pool.TaskError, Err: &tdl.Error{Kind: tdl.ExecutionError, Message: "no"}}, TaskError, "ExecutionError", 0},
		{&pool.ExecutorError{Package: "p", Kind: pool.PackageInitError, Err: &tdl.Error{Kind: tdl.Custom, Message: "no"}}, PackageError, "Custom", 0},
		{&pool.ExecutorError{Package: "p", Kind: pool.InvalidLibrary}, PackageError, "InvalidLibrary", 0},
		{crash, Crash, "", 7},
		{&pool.TimeoutError{Report: report}, Timeout, "", 7},
		{&pool.ProtocolError{Report: report, Err: errors.New("x")}, BadAnswer, "", 7},
		{&pool.CanceledError{Report: report, Running: true, Err: errors.New("x")}, Canceled, "", 7},
		{&pool.CanceledError{Err: errors.New("x")}, Canceled, "", 0},
		{&pool.CanceledError{Err: context.Canceled, Reason: crash}, Canceled, "", 0},
		{&pool.TooLargeError{}, TooLarge, "", 0},
		{&pool.SpawnError{Executor: "/x", Err: crash}, Unavailable, "", 7},
		{&pool.BreakerError{Err: crash}, Unavailable, "", 7},
		{pool.ErrClosed, Unavailable, "", 0},
		{fmt.Errorf("arguments: %w", &tdl.Error{Kind: tdl.SerializationError}), BadInput, "SerializationError", 0},
	} {
		r := Of(time.Now(), pool.Result{}, test.err)
		pid := 0
		if r.Executor != nil {
			pid = r.Executor.PID
		}
		if r.Outcome != test.want || r.Error.Kind != test.kind || pid != test.pid || r.Error.Message != test.err.Error() {
			t.Errorf("%T: %s, kind %q, pid %d, %q", test.err, r.Outcome, r.Error.Kind, pid, r.Error.Message)
		}
	}
	r := Of(time.Now(), pool.Result{}, crash)
	want := &Error{Message: crash.Error(), Phase: "run", Signal: "SIGSEGV", RanUS: 2000, Served: 5, Stderr: []string{"last"}}
	if diff := cmp.Diff(want, r.Error); diff != "" {
		t.Error(diff)
	}
}

func TestExitStatusOfZeroIsTold(t *testing.T) {
	r := Of(time.Now(), pool.Result{}, &pool.CrashError{})
	line, err := r.Line()
	if err != nil || !strings.Contains(string(line), `"exit_status":0`) {
		t.Errorf("%s, %v", line, err)
	}
}

func TestLine(t *testing.T) {
	outputs, err := tdl.EncodeValues("<a>\n", int64(-3))
	if err != nil {
		t.Fatal(err)
	}
	r := Of(time.Now(), pool.Result{Outputs: outputs, ExecutorTime: 42 * time.Microsecond}, nil)
	line, err := r.Line()
	if err != nil {
		t.Fatal(err)
	}
	if text := string(line); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"results":["<a>\n",-3]`) || !strings.Contains(text, `"task_us":42`) {
		t.Errorf("%s", text)
	}
	var back Record
	if err := json.Unmarshal(line, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Results, back.Results); diff != "" || back.Outcome != OK {
		t.Errorf("%s %s", back.Outcome, diff)
	}

	none := Of(time.Now(), pool.Result{Outputs: []byte{0, 0, 0, 0}}, nil)
	if line, err := none.Line(); err != nil || !strings.Contains(string(line), `"results":[]`) {
		t.Errorf("%s, %v", line, err)
	}
	broken := Of(time.Now(), pool.Result{Outputs: []byte{1, 0, 0, 0}}, nil)
	if broken.Outcome != BadAnswer || !strings.Contains(broken.Error.Message, "unreadable results") {
		t.Errorf("%+v", broken)
	}
}
