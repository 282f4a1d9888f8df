// Package batch runs one task over many inputs and writes a record for each: what is
// behind `spider map`.
//
// A [Batch] takes inputs from a [Source], has a pool run them, and writes records to
// Config.Output, in the order of the inputs or as they come. [Open] makes an earlier
// output the one to continue. The package hides the window that keeps memory bounded
// however many inputs there are, what is tried again, what is a failure of one input
// and what is the end of them all.
//
// It never starts a process, reads a flag or knows a terminal. An input that is not in
// the output has not been run to its end; one that is there is there once, as a whole
// line, except for the last if the program was killed in the middle of a write.
package batch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/spider-go/spider/internal/record"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// Config says what a [Batch] does.
type Config struct {
	// Pool runs the tasks. Required, as are Package, Task, Arguments, Source and Output.
	Pool interface {
		Execute(context.Context, pool.Request) (pool.Result, error)
	}
	Package, Task string

	// Arguments makes a task's arguments of an input.
	Arguments Arguments

	// Check, if set, says what is wrong with the arguments that were made: a record of
	// outcome bad_input, for which nothing is sent. It is called from many goroutines.
	Check func(inputs []byte) error

	Source Source
	Output io.Writer

	// Jobs is how many run at once. At least 1.
	Jobs int

	// Unordered writes records as they come, not in the order of the inputs.
	Unordered bool

	// Window is how many inputs may be under way, or done and not yet written: no
	// further ones are read. At least Jobs. Whatever Window says, reading also stops
	// while HeldBytes are held.
	Window int

	// Retries is how often a call that ended in one of RetryOn is made again.
	Retries int
	RetryOn []record.Outcome

	// Timeout is the limit of a call. 0: the pool's.
	Timeout time.Duration

	// FailFast ends it all at the first input that fails.
	FailFast bool

	// ArgsLimit is up to how many bytes of arguments are repeated in their record.
	// Negative: none are.
	ArgsLimit int
}

const (
	// HeldBytes is how much input and output may wait before reading stops. One
	// input and one answer per job come on top, as their size is known late.
	HeldBytes = 64 << 20

	// flushEvery is the longest that a record waits to be written, once it is its
	// turn, and flushBytes what is written without waiting. A write for each record
	// would cost more than many tasks do.
	flushEvery = 50 * time.Millisecond
	flushBytes = 256 << 10

	// startTries is how often an input is tried on executors that cannot be had: the
	// pool itself waits between attempts, and gives up after as many.
	startTries = 5
)

// Batch is one task over many inputs. Run is called once; Stats from anywhere.
type Batch struct {
	cfg     Config
	window  *window
	workers []worker
	stop    context.CancelCauseFunc

	mu    sync.Mutex
	tally tally
}

// worker is what one of Jobs is at.
type worker struct {
	mu  sync.Mutex
	now Running // Attempt is 0 if it waits for an input
}

// Running is an input that is being run.
type Running struct {
	Index   int64
	Text    string // the input, abridged to some 200 bytes
	Since   time.Time
	Attempt int // from 1
}

// New prepares a batch.
func New(cfg Config) *Batch {
	cfg.Jobs = max(cfg.Jobs, 1)
	cfg.Window = max(cfg.Window, cfg.Jobs)
	return &Batch{
		cfg:     cfg,
		window:  newWindow(cfg.Window, !cfg.Unordered),
		workers: make([]worker, cfg.Jobs),
		tally:   newTally(time.Now(), cfg.Timeout),
	}
}

// StoppedError says that not all inputs have been run: why, and of which input that
// was found, if it was one.
type StoppedError struct {
	Index int64 // -1 if it was none
	Err   error
}

func (e *StoppedError) Error() string { return e.Err.Error() }
func (e *StoppedError) Unwrap() error { return e.Err }

// OutputError says that a record could not be written.
type OutputError struct{ Err error }

func (e *OutputError) Error() string { return "cannot write the output: " + e.Err.Error() }
func (e *OutputError) Unwrap() error { return e.Err }

// ErrFailFast is inside the [StoppedError] after the first failure, if Config wants
// that.
var ErrFailFast = errors.New("stopped at the first failure")

// Run runs all inputs. When it returns, all that was done has been written, and nothing
// of the batch goes on. Inputs that fail are no error: see [Batch.Stats]. Its error is a
// *[StoppedError] around
//
//	the cause of ctx   which has ended: what ran was killed and has no record
//	ErrFailFast        an input has failed: its record is written
//	*OutputError       nothing more could be written
//	an error of pool   that every further input would have met: no executor, no such
//	                   package, no such task; it is in no record
//	the Source's own   it could not go on
func (b *Batch) Run(ctx context.Context) error {
	ctx, b.stop = context.WithCancelCause(ctx)
	defer b.stop(nil)

	var writing sync.WaitGroup
	writing.Go(func() {
		if err := b.window.writeTo(b.cfg.Output); err != nil {
			b.stop(&StoppedError{-1, &OutputError{err}})
		}
	})
	inputs := make(chan taken, b.cfg.Jobs)
	var reading, working sync.WaitGroup
	reading.Go(func() {
		defer close(inputs)
		if err := b.read(ctx, inputs); err != nil {
			b.stop(&StoppedError{-1, err})
		}
	})
	for i := range b.workers {
		working.Go(func() {
			for t := range inputs {
				b.run(ctx, &b.workers[i], t)
			}
		})
	}
	reading.Wait()
	working.Wait()
	b.window.end()
	writing.Wait()
	if ctx.Err() == nil {
		return nil
	}
	cause := context.Cause(ctx)
	var stopped *StoppedError
	if errors.As(cause, &stopped) {
		return stopped
	}
	return &StoppedError{-1, cause}
}

// taken is an input with its place in the window.
type taken struct {
	Input
	sequence int64
}

// read takes inputs as long as there is room for their records.
func (b *Batch) read(ctx context.Context, inputs chan<- taken) error {
	for b.window.room(ctx) {
		in, err := b.cfg.Source.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil // that is the reason
		case err == io.EOF:
			b.mu.Lock()
			b.tally.readAll = true
			b.mu.Unlock()
			return nil
		case err != nil:
			return err
		}
		b.mu.Lock()
		b.tally.taken++
		b.mu.Unlock()
		t := taken{in, b.window.take(len(in.Text))}
		select {
		case inputs <- t:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// run runs one input and hands its record to the window.
func (b *Batch) run(ctx context.Context, w *worker, t taken) {
	r, err := b.try(ctx, w, &t.Input)
	w.set(Running{})
	switch {
	case ctx.Err() != nil && (err != nil || r.Outcome != record.OK):
		// It may have been killed for that, or met what is being shut down.
		b.window.finish(t.sequence, nil, len(t.Text))
		return
	case err != nil:
		b.window.finish(t.sequence, nil, len(t.Text))
		b.stop(&StoppedError{t.Index, err})
		return
	}
	line, err := r.Line()
	if err != nil {
		b.stop(&StoppedError{t.Index, fmt.Errorf("record of input %d: %w", t.Index, err)})
		line = nil
	}
	b.mu.Lock()
	b.tally.count(&r, abridge(t.Text))
	b.mu.Unlock()
	b.window.finish(t.sequence, line, len(t.Text))
	if b.cfg.FailFast && r.Outcome != record.OK {
		b.stop(&StoppedError{t.Index, ErrFailFast})
	}
}

// try runs one input, as often as it takes. An error is one that is not about the input.
func (b *Batch) try(ctx context.Context, w *worker, in *Input) (record.Record, error) {
	inputs, err := b.cfg.Arguments.Encode(in)
	digest := digestOf(b.cfg.Package, b.cfg.Task, in, inputs, err)
	if err == nil && b.cfg.Check != nil {
		err = b.cfg.Check(inputs)
	}
	complete := func(r record.Record) record.Record {
		r.Index, r.Input = &in.Index, digest.String()
		if inputs != nil && len(inputs) <= b.cfg.ArgsLimit {
			r.Args = b.cfg.Arguments.JSON(inputs)
		}
		return r
	}
	if err != nil {
		return complete(b.refused(in, err)), nil
	}
	w.set(Running{Index: in.Index, Text: abridge(in.Text), Since: time.Now(), Attempt: 1})
	for attempt, starts := 1, 1; ; {
		started := time.Now()
		result, err := b.cfg.Pool.Execute(ctx, pool.Request{
			Package: b.cfg.Package, Task: b.cfg.Task, Context: contextOf(in.Index, attempt), Inputs: inputs,
			Timeout: b.cfg.Timeout,
		})
		r := record.Of(started, result, err)
		if ctx.Err() != nil && err != nil {
			return r, err
		}
		switch concerns(err) {
		case theRest:
			return r, err
		case theExecutor:
			// It was not the input's turn yet, so it costs it no attempt.
			if starts == startTries {
				return r, err
			}
			starts++
			continue
		}
		if b.cfg.Retries > 0 {
			r.Attempts = attempt
		}
		if attempt > b.cfg.Retries || !slices.Contains(b.cfg.RetryOn, r.Outcome) {
			return complete(r), nil
		}
		attempt++
		w.retry(attempt)
		b.mu.Lock()
		b.tally.retried++
		b.mu.Unlock()
	}
}

// refused is the record of an input that was not sent.
func (b *Batch) refused(in *Input, err error) record.Record {
	r := record.Record{Outcome: record.BadInput, Started: time.Now()}
	var large *TooLongError
	if errors.As(err, &large) {
		r.Outcome = record.TooLarge
	}
	message := err.Error()
	if in.Line > 0 {
		message = fmt.Sprintf("line %d: %s", in.Line, message)
	}
	r.Error = &record.Error{Message: message}
	if errors.As(err, new(*NotUTF8Error)) {
		r.Error.Kind = string(pool.InvalidUtf8)
	}
	return r
}

// concern is what an error is about.
type concern int

const (
	theInput    concern = iota
	theExecutor         // that could not be had, this time
	theRest             // of the inputs, which would all meet it
)

func concerns(err error) concern {
	if err == nil {
		return theInput
	}
	var (
		answered *pool.ExecutorError
		task     *tdl.Error
		broken   *pool.BreakerError
		spawn    *pool.SpawnError
		crash    *pool.CrashError
		timeout  *pool.TimeoutError
		damage   *pool.ProtocolError
	)
	switch {
	case errors.As(err, &broken), errors.Is(err, pool.ErrClosed):
		return theRest
	case errors.As(err, &spawn):
		if !pool.Retryable(err) {
			return theRest // it is not there, or no program
		}
		return theExecutor
	case errors.As(err, &answered):
		if answered.Kind != pool.TaskError || errors.As(err, &task) && task.Kind == tdl.TaskNotFound {
			return theRest
		}
		return theInput
	case errors.As(err, &crash) && crash.Phase != pool.PhaseRun,
		errors.As(err, &timeout) && timeout.Phase != pool.PhaseRun,
		errors.As(err, &damage) && damage.Phase != pool.PhaseRun:
		return theExecutor
	}
	return theInput
}

// contextOf tells a task which input it has, and which attempt it is.
func contextOf(index int64, attempt int) []byte {
	c, err := tdl.NewTaskContext(1, tdl.Index(uint64(index)), uint64(attempt), 1)
	if err != nil {
		panic(err) // it contradicts nothing
	}
	b, err := c.Encode()
	if err != nil {
		panic(err)
	}
	return b
}

// IndexOf is the input that a task of a batch is about, by its context.
func IndexOf(context []byte) (int64, bool) {
	c, err := tdl.DecodeContext(context)
	if err != nil {
		return 0, false
	}
	index, ok := c.TaskID.Index()
	return int64(index), ok
}

func (w *worker) set(now Running) {
	w.mu.Lock()
	w.now = now
	w.mu.Unlock()
}

func (w *worker) retry(attempt int) {
	w.mu.Lock()
	w.now.Attempt, w.now.Since = attempt, time.Now()
	w.mu.Unlock()
}

// abridge keeps what is shown of an input short. It cuts between characters.
func abridge(text []byte) string {
	const limit = 200 // bytes
	if len(text) <= limit {
		return string(text)
	}
	n := limit
	for n > limit-utf8.UTFMax && !utf8.RuneStart(text[n]) {
		n--
	}
	return string(text[:n]) + "..."
}
