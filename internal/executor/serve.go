package executor

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/timeslice"
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
	var (
		frames   = protocol.NewReader(r, maxFrame)
		request  protocol.Request
		response []byte
		served   int
		slice    timeslice.Slice
	)
	for {
		body, err := frames.ReadFrame()
		if errors.Is(err, io.EOF) {
			log.Debug("stdin closed, no request pending", "served", served)
			return nil
		}
		if err != nil {
			return fmt.Errorf("request %d: %w", served+1, err)
		}
		if err := protocol.DecodeRequest(body, &request); err != nil {
			return fmt.Errorf("request %d: %w", served+1, err)
		}
		if request.Kind == protocol.RequestShutdown {
			log.Debug("shutdown requested", "served", served)
			return nil
		}

		start := time.Now()
		outcome := runner.Run(&request.Execute)
		elapsed := time.Since(start)

		if err := protocol.CheckFrame(protocol.ResponseSize(len(outcome.Payload)), maxFrame); err != nil {
			outcome = oversize(outcome.Failure, err)
		}
		response = slices.Grow(response[:0], protocol.HeaderSize+protocol.ResponseSize(len(outcome.Payload)))
		response = protocol.AppendResponse(response, outcome, elapsed)
		runner.Release()
		if _, err := w.Write(response); err != nil {
			return &WriteError{Err: err}
		}
		served++
		slice.Yield(start)
	}
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
