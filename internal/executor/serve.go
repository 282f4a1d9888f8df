package executor

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/sharedmem"
	"github.com/spider-go/spider/internal/timeslice"
	"github.com/spider-go/spider/internal/widepipe"
)

// A WriteError says that an answer could not be delivered: whoever should read
// stdout is gone.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return "stdout is broken: " + e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }

// Serve answers requests from r on w, strictly one at a time and in order,
// until the parent says Shutdown or closes r at a frame boundary; both give nil.
// Anything else r brings is damage to the protocol: Serve then returns an error
// that says what and where, and nothing is written for that request.
//
// After the first few requests Serve itself allocates nothing per request: the
// frame buffer and the response buffer are reused, and grow to the largest
// frame seen.
func Serve(r io.Reader, w io.Writer, runner Runner, maxFrame int, log *slog.Logger) error {
	s := server{frames: protocol.NewReader(r, maxFrame), w: w, runner: runner, maxFrame: maxFrame, log: log}
	return s.serve()
}

type server struct {
	frames   *protocol.Reader
	w        io.Writer
	runner   Runner
	maxFrame int
	log      *slog.Logger

	shared    *sharedmem.Accepted // nil: there is none
	widen     func()              // is called when frames are large; nil: nothing to do
	abandoned func() bool         // is asked before the first task; nil: no

	response []byte // reused
	served   int
	slice    timeslice.Slice
}

func (s *server) serve() error {
	var request protocol.Request
	for {
		body, err := s.frames.ReadFrame()
		if errors.Is(err, io.EOF) {
			s.log.Debug("stdin closed, no request pending", "served", s.served)
			return nil
		}
		if err != nil {
			return fmt.Errorf("request %d: %w", s.served+1, err)
		}
		if err := protocol.DecodeRequestShared(body, s.shared.Payload(), &request); err != nil {
			return fmt.Errorf("request %d: %w", s.served+1, err)
		}
		if request.Kind == protocol.RequestShutdown {
			s.log.Debug("shutdown requested", "served", s.served)
			return nil
		}
		if len(body) > widepipe.Narrow && s.widen != nil {
			s.widen()
		}
		if s.served == 0 && s.abandoned != nil && s.abandoned() {
			return &WriteError{Err: errors.New("both stdin and stdout were closed by the parent before its first request was read")}
		}

		start := timeslice.Now()
		outcome := s.runner.Run(&request.Execute)
		elapsed := timeslice.Now() - start

		err = s.answer(outcome, elapsed)
		s.runner.Release()
		if err != nil {
			return &WriteError{Err: err}
		}
		s.served++
		s.slice.Yield(start)
	}
}

// answer writes the response to one request.
func (s *server) answer(outcome protocol.Outcome, elapsed time.Duration) error {
	if s.shared.CopyIn(outcome.Payload) {
		s.response = protocol.AppendResponseShared(s.response[:0], outcome, elapsed)
		_, err := s.w.Write(s.response)
		return err
	}
	if err := s.checkSize(outcome.Payload); err != nil {
		outcome = oversize(outcome.Failure, err)
	}
	if len(outcome.Payload) <= widepipe.Narrow {
		s.response = protocol.AppendResponse(s.response[:0], outcome, elapsed)
		_, err := s.w.Write(s.response)
		return err
	}
	// One write would take a copy first.
	if s.widen != nil {
		s.widen()
	}
	head, tail := protocol.SplitResponse(s.response[:0], outcome, elapsed)
	for _, part := range [][]byte{head, outcome.Payload, tail} {
		if _, err := s.w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// checkSize says that a payload cannot be sent.
func (s *server) checkSize(payload []byte) error {
	size := protocol.ResponseSize(len(payload))
	if protocol.CheckFrame(size, s.maxFrame) == nil {
		return nil
	}
	return &protocol.FrameTooLargeError{Size: uint64(size), Limit: max(s.maxFrame, s.shared.Max())}
}

// oversize stands in for an answer that no frame can carry. The parent would
// take the oversize frame for damage; this way it learns the size, and the
// process lives on.
func oversize(failure bool, err error) protocol.Outcome {
	what := "result"
	if failure {
		what = "error"
	}
	return FailTask(protocol.TdlSerializationError, fmt.Sprintf(
		"the task's %s cannot be sent: %v: return less, or a reference to it", what, err))
}
