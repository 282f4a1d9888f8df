// Package record is how one call ended, as one line of JSON: what `spider run --json`
// and `spider map` write, and what map reads again to resume.
//
// [Of] makes a record of what pool answered. The package hides which error of pool is
// which outcome and what of a report belongs into a record. It never runs anything,
// and never writes a record that is more than one line or no JSON.
package record

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/wire"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// Outcome is how a call ended.
type Outcome string

// The outcomes.
const (
	OK           Outcome = "ok"
	TaskError    Outcome = "task_error"    // the task failed, refused its arguments, or is not in the package
	PackageError Outcome = "package_error" // the package is missing or cannot be loaded
	BadInput     Outcome = "bad_input"     // the arguments are no JSON, or of the wrong type; nothing was sent
	TooLarge     Outcome = "too_large"     // the arguments fit no frame; nothing was sent
	Timeout      Outcome = "timeout"       // no answer in time; killed
	Crash        Outcome = "crash"         // the executor ended without an answer
	BadAnswer    Outcome = "bad_answer"    // the executor wrote what is no answer, or the results are unreadable
	Canceled     Outcome = "canceled"      // its caller gave up
	Unavailable  Outcome = "unavailable"   // no executor could be had
)

// Record is one call.
type Record struct {
	// Index is the input's, from 0. Nil where there is only one.
	Index *int64 `json:"index,omitempty"`

	// Input tells the input apart from another of the same index, where that matters.
	Input string `json:"input,omitempty"`

	// Args are the arguments, as a JSON array, where the caller wants them.
	Args json.RawMessage `json:"args,omitempty"`

	Outcome Outcome `json:"outcome"`

	// Results are those of a call that is [OK], each a JSON value: none is [].
	Results []json.RawMessage `json:"results,omitzero"`

	// Error is set for every other outcome.
	Error *Error `json:"error,omitempty"`

	// Attempts is how often it was tried, 0 if that is not counted.
	Attempts int `json:"attempts,omitempty"`

	// Started is when the call was made, WallUS how long it took with its wait for an
	// executor, TaskUS how long the executor says that it took.
	Started time.Time `json:"started"`
	WallUS  int64     `json:"wall_us"`
	TaskUS  int64     `json:"task_us,omitempty"`

	// Executor is the process, where one is known.
	Executor *Executor `json:"executor,omitempty"`
}

// Executor is one process.
type Executor struct {
	Number  int    `json:"number,omitempty"` // in its pool, from 1
	PID     int    `json:"pid,omitempty"`
	Program string `json:"program,omitempty"` // the executable
}

// Error says what went wrong.
type Error struct {
	Message string `json:"message"` // one sentence for people

	// Kind is the protocol's name of a failure that was answered: ExecutionError,
	// TaskNotFound, InvalidLibrary, ...; or InvalidUtf8, of an input that is no text.
	Kind string `json:"kind,omitempty"`

	// How the process ended, if it did.
	Phase      string   `json:"phase,omitempty"`       // start, load or run
	Signal     string   `json:"signal,omitempty"`      // SIGSEGV
	ExitStatus *int     `json:"exit_status,omitempty"` // if it was no signal
	Killed     string   `json:"killed,omitempty"`      // why its parent killed it
	Panic      string   `json:"panic,omitempty"`
	RanUS      int64    `json:"ran_us,omitempty"`
	Served     int      `json:"served,omitempty"`   // tasks answered before
	PeakRSS    int64    `json:"peak_rss,omitempty"` // bytes
	Core       string   `json:"core,omitempty"`
	Stderr     []string `json:"stderr,omitempty"` // its last lines
}

// Of is the record of a call that pool answered with result and err.
func Of(started time.Time, result pool.Result, err error) Record {
	var results []json.RawMessage
	if err == nil {
		if results, err = Results(result.Outputs); err != nil {
			err = &resultsError{err}
		}
	}
	return Read(started, result, results, err)
}

// Read is [Of] for a call whose [Results] the caller has read already.
func Read(started time.Time, result pool.Result, results []json.RawMessage, err error) Record {
	r := Record{Started: started, WallUS: time.Since(started).Microseconds(), TaskUS: result.ExecutorTime.Microseconds()}
	if result.PID != 0 {
		r.Executor = &Executor{Number: result.Executor, PID: result.PID}
	}
	if err == nil {
		r.Outcome, r.Results = OK, results
		return r
	}
	r.Outcome = OutcomeOf(err)
	r.Error = &Error{Message: err.Error(), Kind: kind(err)}
	if report := reportOf(err); report != nil {
		r.Error.report(report)
		r.Executor = &Executor{Number: report.Executor, PID: report.Exit.PID, Program: report.Program}
	}
	return r
}

// OutcomeOf is the outcome that an error of pool stands for; nil is [OK].
func OutcomeOf(err error) Outcome {
	var (
		answered *pool.ExecutorError
		timeout  *pool.TimeoutError
		crash    *pool.CrashError
		canceled *pool.CanceledError
		protocol *pool.ProtocolError
		tooLarge *pool.TooLargeError
		spawn    *pool.SpawnError
		broken   *pool.BreakerError
		results  *resultsError
	)
	switch {
	case err == nil:
		return OK
	// Its cause may be any other error.
	case errors.As(err, &canceled):
		return Canceled
	// First those that wrap why an executor died.
	case errors.As(err, &spawn), errors.As(err, &broken), errors.Is(err, pool.ErrClosed):
		return Unavailable
	case errors.As(err, &answered) && answered.Kind == pool.TaskError:
		return TaskError
	case answered != nil:
		return PackageError
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.As(err, &timeout):
		return Timeout
	case errors.As(err, &protocol), errors.As(err, &results):
		return BadAnswer
	case errors.As(err, &tooLarge):
		return TooLarge
	case errors.As(err, &crash):
		return Crash
	}
	return BadInput
}

// Results makes JSON values of a payload sequence.
func Results(outputs []byte) ([]json.RawMessage, error) {
	sequence, err := wire.Parse(outputs)
	if err != nil {
		return nil, err
	}
	values := []json.RawMessage{}
	for i, payload := range sequence.All() {
		value, _, err := msgpack.AppendJSON(nil, payload)
		if err != nil {
			return nil, fmt.Errorf("result %d: %w", i+1, err)
		}
		values = append(values, value)
	}
	return values, nil
}

// resultsError says that a task's results are not what the protocol calls results.
type resultsError struct{ err error }

func (e *resultsError) Error() string { return "unreadable results: " + e.err.Error() }
func (e *resultsError) Unwrap() error { return e.err }

// kind is the protocol's name of a failure that was answered.
func kind(err error) string {
	if OutcomeOf(err) == Canceled {
		return "" // its cause may be any other error
	}
	var task *tdl.Error
	if errors.As(err, &task) {
		return string(task.Kind)
	}
	var answered *pool.ExecutorError
	if errors.As(err, &answered) {
		return string(answered.Kind)
	}
	return ""
}

// reportOf is what err knows of a process that was lost, nil if it is about none.
func reportOf(err error) *pool.Report {
	var (
		timeout  *pool.TimeoutError
		crash    *pool.CrashError
		canceled *pool.CanceledError
		protocol *pool.ProtocolError
		spawn    *pool.SpawnError
		broken   *pool.BreakerError
	)
	// A process that was lost while it started, or loaded before, is in these alone.
	if errors.As(err, &broken) {
		err = broken.Err
	}
	if errors.As(err, &spawn) {
		err = spawn.Err
	}
	switch {
	case errors.As(err, &canceled) && !canceled.Running:
		return nil // what is in it is about another call
	case canceled != nil:
		return &canceled.Report
	case errors.As(err, &timeout):
		return &timeout.Report
	case errors.As(err, &protocol):
		return &protocol.Report
	case errors.As(err, &crash):
		return &crash.Report
	}
	return nil
}

func (e *Error) report(r *pool.Report) {
	e.Phase = string(r.Phase)
	if e.Signal = r.Exit.SignalName(); e.Signal == "" && !r.Exit.Unknown {
		e.ExitStatus = &r.Exit.Code
	}
	e.Killed, e.Panic, e.Core = r.Exit.Killed, r.Panic, r.Core
	e.RanUS, e.Served, e.PeakRSS = r.Ran.Microseconds(), r.Served, r.PeakRSS
	e.Stderr = r.Stderr
}

// Line is the record as one line of JSON, with its end.
func (r *Record) Line() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(r)
	return b.Bytes(), err
}
