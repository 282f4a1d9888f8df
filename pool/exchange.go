package pool

import (
	"errors"
	"io"
	"math"
	"os"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/timeslice"
	"github.com/spider-go/spider/internal/widepipe"
	"github.com/spider-go/spider/tdl"
)

// Request is one task to run.
type Request struct {
	Package, Task string

	// Context is a TaskContext in msgpack, see tdl.TaskContext.Encode. Nil, in a [Pool]:
	// the one that [Call] says. A [Process] is sent what there is.
	Context []byte

	// Inputs is a payload sequence. Nil, in a [Pool]: that of a task without parameters.
	Inputs []byte

	// Timeout is the hard limit of this call in a [Pool], see Config.Timeout. 0:
	// what Config says. Negative: no limit. [Process.Execute] is told the limit
	// besides, and does not look here.
	Timeout time.Duration

	// OutputBuffer is where Result.Outputs go, if there is room for them. Nil: into
	// new memory. Large results that are used up before the next call cost much less
	// with the last one's memory.
	OutputBuffer []byte
}

// Result is what a task produced.
type Result struct {
	// Outputs is a payload sequence. It is the caller's, perhaps in
	// Request.OutputBuffer.
	Outputs []byte

	// ExecutorTime is how long the executor says it took, from looking the
	// package up to the task's return.
	ExecutorTime time.Duration

	// Executor is the number in its [Pool] of the executor that answered, from 1, and
	// PID its process. They are also set if the answer was an [ExecutorError] from
	// there. 0: there was no answer, or, of Executor, it is in no pool.
	Executor, PID int
}

// SetDeadline ends, at t, a Send or Receive that comes after it, with an error that
// is [os.ErrDeadlineExceeded], and after which the process can only be killed. The zero
// time means none. To end one that is under way, Kill the process.
func (p *Process) SetDeadline(t time.Time) error {
	p.out.setDeadline(t)
	return p.in.setDeadline(t)
}

// Send writes a request. An error is a *[TooLargeError], with nothing sent, or
// the pipe's own error, after which the process can only be killed. Since others may
// be sent before the answer, it ends the use of shared memory.
func (p *Process) Send(r *Request) error {
	if p.shared != nil {
		if err := p.shared.Withdraw(); err != nil {
			return err
		}
		p.shared = nil
	}
	return p.send(r)
}

func (p *Process) send(r *Request) error {
	p.sent = time.Now()
	inMemory, err := p.share(r)
	if err != nil {
		return err
	}
	select {
	case <-p.exited:
		// What it printed last is why there will be no answer.
	default:
		p.stderr.began()
	}
	switch {
	case inMemory:
		p.request = protocol.AppendExecuteShared(p.request[:0], r.Package, r.Task, r.Context, len(r.Inputs))
	case len(r.Inputs) <= widepipe.Narrow:
		p.request = protocol.AppendExecute(p.request[:0], r.Package, r.Task, r.Context, r.Inputs)
	default:
		// One write would take a copy first.
		p.widen()
		p.request = protocol.AppendExecuteHead(p.request[:0], r.Package, r.Task, r.Context, len(r.Inputs))
		if _, err := p.in.Write(p.request); err != nil {
			return err
		}
		_, err := p.in.Write(r.Inputs)
		return err
	}
	_, err = p.in.Write(p.request)
	return err
}

// Receive reads the answer to r. The error is an *[ExecutorError] if the
// executor answered with a failure, a *[TooLargeError] if the answer is over the limit for
// frames; [io.EOF] if the process closed its end
// between answers; else what is wrong with the stream, after which the process
// can only be killed.
func (p *Process) Receive(r *Request) (Result, error) {
	result, err := p.receive(r)
	if err == nil || isAnswer(err) {
		p.served++
		p.stderr.answered()
	}
	return result, err
}

func (p *Process) receive(r *Request) (Result, error) {
	body, err := p.frames.ReadFrame()
	if err != nil {
		if err = p.passOver(r, err); isAnswer(err) {
			return Result{PID: p.PID()}, err
		}
		return Result{}, err
	}
	p.heard = true
	if len(body) > widepipe.Narrow {
		p.widen()
	}
	var response protocol.Response
	if err := protocol.DecodeResponseShared(body, p.maxShared(), &response); err != nil {
		return Result{}, err
	}
	p.out.long = response.Elapsed >= longTask
	payload := response.Outcome.Payload
	switch {
	case response.Shared > 0:
		if payload, err = p.shared.CopyOut(r.OutputBuffer[:0], response.Shared); err != nil {
			return Result{}, err
		}
		p.noteShared(response.Shared)
	case !response.Outcome.Failure:
		payload = append(r.OutputBuffer[:0], payload...)
	}
	if response.Outcome.Failure {
		failure, err := protocol.DecodeExecutorError(payload)
		if err != nil {
			return Result{}, err
		}
		return Result{ExecutorTime: response.Elapsed, PID: p.PID()}, executorError(failure, r)
	}
	return Result{Outputs: payload, ExecutorTime: response.Elapsed, PID: p.PID()}, nil
}

// passOver reads past an answer that is too large for this side, so that there can be a next
// one; else it returns err itself. Executors know no limit but the largest.
func (p *Process) passOver(r *Request, err error) error {
	var large *protocol.FrameTooLargeError
	if !errors.As(err, &large) || large.Size > protocol.DefaultMaxFrame {
		return err
	}
	if err := p.frames.Skip(); err != nil {
		return err
	}
	p.heard = true
	return &TooLargeError{Package: r.Package, Task: r.Task, Size: int(large.Size), Limit: large.Limit, Answer: true}
}

// widen has the pipes hold more.
func (p *Process) widen() {
	p.in.mu.Lock()
	defer p.in.mu.Unlock()
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	p.wide.Widen(p.in.fd, p.out.fd)
}

// Execute runs one task: it writes the request, lets the task run and reads the
// answer, all within timeout; 0 means no limit. A [*TimeoutError], a
// [*CrashError] and a [*ProtocolError] mean that the process is gone.
func (p *Process) Execute(r Request, timeout time.Duration) (Result, error) {
	if !utf8.ValidString(r.Package) || !utf8.ValidString(r.Task) {
		return Result{}, notUTF8(&r)
	}
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(min(timeout, math.MaxInt64/2))
	}
	if p.phases {
		if err := p.prepare(&r, timeout, deadline); err != nil {
			return Result{}, err
		}
	}
	return p.execute(&r, PhaseRun, timeout, deadline)
}

// prepare waits until the process answers and has r's package loaded.
func (p *Process) prepare(r *Request, limit time.Duration, deadline time.Time) error {
	if p.loaded == nil {
		ping := newPing()
		if _, err := p.execute(&ping, PhaseStart, limit, deadline); err != nil && !lives(err) {
			return &SpawnError{Executor: p.Program(), Err: err}
		}
		p.loaded = map[string]bool{}
	}
	if p.loaded[r.Package] {
		return nil
	}
	if err := p.load(r.Package, limit, deadline); err != nil {
		if report := reportOf(err); report != nil {
			report.isFor(r)
		}
		return answerTo(r, err)
	}
	p.loaded[r.Package] = true
	return nil
}

// load has a package loaded, by a task that does not exist.
func (p *Process) load(name string, limit time.Duration, deadline time.Time) error {
	_, err := p.execute(&Request{Package: name, Task: loadTask, Context: defaultContext, Inputs: noInputs}, PhaseLoad, limit, deadline)
	var answered *ExecutorError
	if errors.As(err, &answered) && answered.Kind == TaskError {
		return nil // as expected: it is loaded, and has no such task
	}
	return err
}

// answerTo makes an answer to what had a package loaded one to the call that needs it.
func answerTo(r *Request, err error) error {
	var answered *ExecutorError
	if errors.As(err, &answered) {
		answered.Task = r.Task
	}
	return err
}

// execute is Execute with its limit as a moment; phase is for reports.
func (p *Process) execute(r *Request, phase Phase, limit time.Duration, deadline time.Time) (Result, error) {
	p.limit.Store(int64(limit))
	p.out.calling.Store(true)
	result, err := p.exchange(r, deadline)
	p.slice.Yield(timeslice.Now())
	if err == nil || isAnswer(err) {
		// What it has printed it has survived; what is read from now on may be from
		// after the answer.
		p.stderr.answered()
		if phase == PhaseRun {
			p.served++
		}
	}
	p.out.calling.Store(false)
	if err == nil || lives(err) {
		// What it wrote to stderr before the answer has to be handed on, since the
		// two pipes have no order of their own.
		if p.stderr.observe != nil {
			p.stderr.catchUp(deadline)
		}
		return result, err
	}
	return result, p.failed(r, phase, limit, err)
}

// isAnswer reports whether err is that the executor answered: with a failure, or with too
// much.
func isAnswer(err error) bool {
	var (
		answered *ExecutorError
		tooLarge *TooLargeError
	)
	return errors.As(err, &answered) || errors.As(err, &tooLarge) && tooLarge.Answer
}

// lives reports whether the process is none the worse for err.
func lives(err error) bool {
	var tooLarge *TooLargeError // also a request
	return isAnswer(err) || errors.As(err, &tooLarge)
}

// exchange sends a request and receives its answer.
func (p *Process) exchange(r *Request, deadline time.Time) (Result, error) {
	if err := p.SetDeadline(deadline); err != nil {
		p.sent = time.Now()
		return Result{}, os.ErrClosed
	}
	if p.frames.Buffered() > 0 {
		// It would pass for the answer to r.
		p.sent = time.Now()
		select {
		case <-p.exited:
			// Or it is what there was of an answer when the process ended.
			return Result{}, os.ErrClosed
		default:
			return Result{}, errUnsolicited
		}
	}
	if p.shared != nil {
		p.shared.Begin()
		defer p.shared.End()
		if err := p.introduce(r); err != nil {
			return Result{}, err
		}
	}
	if err := p.send(r); err != nil {
		return Result{}, err
	}
	result, err := p.receive(r)
	if !p.largeAt.IsZero() && p.sent.Sub(p.largeAt) > sharedPatience {
		p.largeAt = time.Time{}
		// It waits for no lock: this call has it.
		p.shared.Reclaim(keepShared)
	}
	return result, err
}

var errUnsolicited = errors.New("it sent more than one answer to a request")

// failed ends the process after err on its pipes, and tells what it means.
func (p *Process) failed(r *Request, phase Phase, limit time.Duration, err error) error {
	ran := time.Since(p.sent)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		reason := noAnswer(limit)
		p.Kill(reason)
		if exit := p.Wait(); exit.Killed != reason {
			// It ended between the deadline and the kill.
			break
		}
		return &TimeoutError{Report: p.report(r, phase, ran, false), Limit: limit}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE), errors.Is(err, os.ErrClosed):
		// The pipe is closed, so the process is about to end; unless a task
		// closed it.
		patience := closedPipePatience
		if limit > 0 && limit-ran < patience {
			patience = min(patience, max(limit-ran, 0)+stderrPatience)
		}
		select {
		case <-p.exited:
		case <-time.After(patience):
			p.Kill("it closed its end of the pipes but did not exit")
		}
	default:
		p.Kill("it does not speak the protocol")
		return &ProtocolError{Report: p.report(r, phase, ran, false), Err: err}
	}
	report := p.report(r, phase, ran, errors.Is(err, syscall.EPIPE))
	if limit > 0 && report.Exit.Killed == noAnswer(limit) {
		// It was killed for that while the kernel kept this side from looking at the
		// clock, see stuckPatience.
		return &TimeoutError{Report: report, Limit: limit}
	}
	return &CrashError{report}
}

func noAnswer(limit time.Duration) string { return "no answer within " + limit.String() }

// killLate kills the process when its call has had its time.
func (p *Process) killLate() { p.Kill(noAnswer(time.Duration(p.limit.Load()))) }

// report waits for the process's end and tells what is known of it. unread says that
// it did not read the request.
func (p *Process) report(r *Request, phase Phase, ran time.Duration, unread bool) Report {
	report := Report{
		Package: r.Package, Task: r.Task, Phase: phase, Program: p.Program(),
		Exit: p.Wait(), Ran: ran, Served: p.served,
		Core: p.corePath(),
	}
	report.PeakRSS, report.PeakRSSAtLeast = p.peakRSS()
	report.Panic, report.Stderr = p.stderr.report(report.Exit, unread)
	if phase == PhaseRun {
		report.isFor(r)
	}
	return report
}

// isFor says which call the process was lost to.
func (r *Report) isFor(call *Request) {
	r.Task = call.Task
	if context, err := tdl.DecodeContext(call.Context); err == nil {
		r.Context = &context
	}
}

// closedPipePatience is how long a process that has closed its pipes may take to
// exit before it is killed: time for a core dump.
const closedPipePatience = 5 * time.Second
