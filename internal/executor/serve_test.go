package executor

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/spider-go/spider/internal/protocol"
)

// fakeRunner answers from one reused buffer, which Release destroys, and checks
// that Run and Release take turns.
type fakeRunner struct {
	t       *testing.T
	run     func(e *protocol.Execute) protocol.Outcome // nil: echoes the inputs
	buffer  []byte
	pending bool
	runs    int
	tasks   []string
}

func (f *fakeRunner) Run(e *protocol.Execute) protocol.Outcome {
	if f.pending {
		f.t.Error("Run before the last outcome was released")
	}
	f.pending = true
	f.runs++
	f.tasks = append(f.tasks, string(e.Task))
	if f.run != nil {
		return f.run(e)
	}
	f.buffer = append(f.buffer[:0], e.Inputs...)
	return protocol.Outcome{Payload: f.buffer}
}

func (f *fakeRunner) Release() {
	if !f.pending {
		f.t.Error("Release without an outcome")
	}
	f.pending = false
	for i := range f.buffer {
		f.buffer[i] = 0xdd
	}
}

var quiet = slog.New(slog.DiscardHandler)

func execute(task, inputs string) []byte {
	return protocol.AppendExecute(nil, "pkg", task, nil, []byte(inputs))
}

// responses decodes all that Serve wrote.
func responses(t *testing.T, b []byte) (all []protocol.Outcome) {
	t.Helper()
	frames := protocol.NewReader(bytes.NewReader(b), 0)
	for {
		body, err := frames.ReadFrame()
		if err == io.EOF {
			return all
		}
		var r protocol.Response
		if err == nil {
			err = protocol.DecodeResponse(body, &r)
		}
		if err != nil {
			t.Fatal(err)
		}
		r.Outcome.Payload = bytes.Clone(r.Outcome.Payload)
		all = append(all, r.Outcome)
	}
}

// Answers come in the order of the requests, each with its own outputs, although
// all of them live in the same buffer for a while.
func TestServeInOrder(t *testing.T) {
	t.Parallel()
	var in bytes.Buffer
	var want []string
	for i := range 100 {
		inputs := strings.Repeat(string(rune('a'+i%26)), i*i)
		in.Write(execute(fmt.Sprint("task", i), inputs))
		want = append(want, inputs)
	}
	var out bytes.Buffer
	runner := &fakeRunner{t: t}
	if err := Serve(&in, &out, runner, protocol.DefaultMaxFrame, quiet); err != nil {
		t.Fatal(err)
	}
	got := responses(t, out.Bytes())
	if len(got) != len(want) {
		t.Fatalf("%d answers to %d requests", len(got), len(want))
	}
	for i, o := range got {
		if o.Failure || string(o.Payload) != want[i] || runner.tasks[i] != fmt.Sprint("task", i) {
			t.Errorf("answer %d: %v", i, o)
		}
	}
	if runner.pending {
		t.Error("the last outcome was not released")
	}
}

// The parent waits for each answer before it sends the next request: Serve must
// not wait for more input meanwhile.
func TestServeAnswersAtOnce(t *testing.T) {
	t.Parallel()
	requests, in := io.Pipe()
	out, answers := io.Pipe()
	served := make(chan error)
	go func() {
		served <- Serve(requests, answers, &fakeRunner{t: t}, protocol.DefaultMaxFrame, quiet)
	}()
	frames := protocol.NewReader(out, 0)
	for range 3 {
		if _, err := in.Write(execute("t", "x")); err != nil {
			t.Fatal(err)
		}
		if _, err := frames.ReadFrame(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := in.Write(protocol.AppendShutdown(nil)); err != nil {
		t.Fatal(err)
	}
	// The pipe is still open: it is Shutdown that ends Serve.
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestServeEnds(t *testing.T) {
	t.Parallel()
	ok := execute("t", "abc")
	bad := func(change func(b []byte)) []byte {
		b := execute("t", "abc")
		change(b)
		return b
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, c := range []struct {
		name    string
		in      []byte
		answers int
		says    []string // nil: a clean end
	}{
		{"nothing", nil, 0, nil},
		{"one request", ok, 1, nil},
		{"shutdown", protocol.AppendShutdown(nil), 0, nil},
		{"shutdown, then more", join(ok, protocol.AppendShutdown(nil), ok), 1, nil},
		{"bytes after the message", join([]byte{0, 0, 0, 6, 1, 0, 0, 0, 9, 9}, ok), 0, nil},

		{"end inside a header", join(ok, ok[:3]), 1, []string{"request 2"}},
		{"end inside a body", join(ok, ok, ok[:20]), 2, []string{"request 3"}},
		{"oversize header", join(ok, []byte{0, 0x80, 0, 1}), 1, []string{"request 2", "8388609", "8388608"}},
		{"empty frame", []byte{0, 0, 0, 0}, 0, []string{"request 1"}},
		{"bad tag", bad(func(b []byte) { b[4] = 7 }), 0, []string{"request 1", "7"}},
		{"package is no text", bad(func(b []byte) { b[4+4+8] = 0xff }), 0, []string{"request 1", "package"}},
		{"task is no text", bad(func(b []byte) { b[4+4+8+3+8] = 0xff }), 0, []string{"request 1", "task"}},
		{"length past the end", bad(func(b []byte) { b[4+4+7] = 1 }), 0, []string{"request 1", "package"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			runner := &fakeRunner{t: t}
			err := Serve(bytes.NewReader(c.in), &out, runner, protocol.DefaultMaxFrame, quiet)
			if (err != nil) != (c.says != nil) {
				t.Fatalf("got %v", err)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not mention %q", err, part)
				}
			}
			if n := len(responses(t, out.Bytes())); n != c.answers || runner.runs != c.answers {
				t.Errorf("%d runs, %d answers, want %d", runner.runs, n, c.answers)
			}
		})
	}
}

// The first request of a sender that is gone is not run: no answer could reach anybody. Its
// shutdown is one, and a later request finds out when it is answered.
func TestServeAbandoned(t *testing.T) {
	t.Parallel()
	ok, shutdown := execute("t", "abc"), protocol.AppendShutdown(nil)
	for _, c := range []struct {
		name   string
		in     []byte
		gone   []bool // what is answered, one after the other
		runs   int
		broken bool
	}{
		{"a request", ok, []bool{true}, 0, true},
		{"a shutdown", shutdown, nil, 0, false},
		{"nothing", nil, nil, 0, false},
		{"a request, later another", append(bytes.Clone(ok), ok...), []bool{false}, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			runner := &fakeRunner{t: t}
			asked := 0
			s := server{
				frames: protocol.NewReader(bytes.NewReader(c.in), 0), w: io.Discard, runner: runner,
				maxFrame: protocol.DefaultMaxFrame, log: quiet,
				abandoned: func() bool { asked++; return c.gone[asked-1] },
			}
			var broken *WriteError
			if err := s.serve(); errors.As(err, &broken) != c.broken || err != nil && !c.broken {
				t.Error(err)
			}
			if runner.runs != c.runs || asked != len(c.gone) {
				t.Errorf("%d runs, asked %d times", runner.runs, asked)
			}
		})
	}
}

// An answer that no frame can carry becomes one that says so, and the next
// request is served. The largest one that fits is left alone.
func TestServeOversize(t *testing.T) {
	t.Parallel()
	const limit = 1000
	overhead := protocol.ResponseSize(0)
	for _, c := range []struct {
		failure bool
		size    int // of the payload
		fits    bool
		what    string
	}{
		{false, limit - overhead, true, ""},
		{false, limit - overhead + 1, false, "result"},
		{true, limit - overhead, true, ""},
		{true, limit - overhead + 1, false, "error"},
		{false, 100 * limit, false, "result"},
	} {
		big := protocol.Outcome{Failure: c.failure, Payload: make([]byte, c.size)}
		first := true
		runner := &fakeRunner{t: t, run: func(*protocol.Execute) protocol.Outcome {
			if first {
				first = false
				return big
			}
			return protocol.Outcome{Payload: []byte("small")}
		}}
		var out bytes.Buffer
		in := append(execute("t", ""), execute("t", "")...)
		if err := Serve(bytes.NewReader(in), &out, runner, limit, quiet); err != nil {
			t.Fatal(err)
		}
		got := responses(t, out.Bytes())
		if len(got) != 2 || got[1].Failure || string(got[1].Payload) != "small" || runner.pending {
			t.Fatalf("%+v: %v", c, got)
		}
		if c.fits {
			if got[0].Failure != c.failure || len(got[0].Payload) != c.size {
				t.Errorf("%+v: an answer that fits was changed", c)
			}
			continue
		}
		failure, err := protocol.DecodeExecutorError(got[0].Payload)
		if err != nil || !got[0].Failure {
			t.Fatalf("%+v: %v, %v", c, got[0], err)
		}
		if failure.Variant != protocol.TaskError || failure.Task.Variant != protocol.TdlSerializationError {
			t.Errorf("%+v: %v", c, failure)
		}
		for _, part := range []string{"task's " + c.what, fmt.Sprint(c.size + overhead), fmt.Sprint(limit)} {
			if !strings.Contains(failure.Task.Message, part) {
				t.Errorf("%+v: %q does not mention %q", c, failure.Task.Message, part)
			}
		}
	}
}

// A failure travels as it is.
func TestServeFailure(t *testing.T) {
	t.Parallel()
	for _, want := range []protocol.Outcome{
		Fail(&protocol.ExecutorError{Variant: protocol.InvalidLibrary, Message: "m"}),
		FailTask(protocol.TdlCustom, "m"),
	} {
		var out bytes.Buffer
		runner := &fakeRunner{t: t, run: func(*protocol.Execute) protocol.Outcome { return want }}
		if err := Serve(bytes.NewReader(execute("t", "")), &out, runner, protocol.DefaultMaxFrame, quiet); err != nil {
			t.Fatal(err)
		}
		got := responses(t, out.Bytes())
		if len(got) != 1 || !got[0].Failure || !bytes.Equal(got[0].Payload, want.Payload) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken as asked")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

// After an answer that could not be delivered nothing more is run.
func TestServeBrokenStdout(t *testing.T) {
	t.Parallel()
	runner := &fakeRunner{t: t}
	in := append(execute("t", ""), execute("t", "")...)
	err := Serve(bytes.NewReader(in), brokenWriter{}, runner, protocol.DefaultMaxFrame, quiet)
	var broken *WriteError
	if !errors.As(err, &broken) || !errors.Is(err, errBroken) {
		t.Errorf("got %T: %v", err, err)
	}
	if runner.runs != 1 || runner.pending {
		t.Errorf("%d runs, released: %v", runner.runs, !runner.pending)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errBroken }

func TestServeBrokenStdin(t *testing.T) {
	t.Parallel()
	err := Serve(io.MultiReader(bytes.NewReader(execute("t", "")), brokenReader{}), io.Discard, &fakeRunner{t: t}, protocol.DefaultMaxFrame, quiet)
	var broken *WriteError
	if !errors.Is(err, errBroken) || errors.As(err, &broken) || !strings.Contains(err.Error(), "request 2") {
		t.Errorf("got %T: %v", err, err)
	}
}

// loop is a parent that sends the same request for ever; its counters say what
// the requests in the middle cost.
type loop struct {
	request  []byte
	warm     int // requests before measuring
	requests int // in all
	sent     int
	before   runtime.MemStats
	after    runtime.MemStats
}

func (l *loop) Read(p []byte) (int, error) {
	switch l.sent {
	case l.warm:
		runtime.ReadMemStats(&l.before)
	case l.requests:
		runtime.ReadMemStats(&l.after)
		return 0, io.EOF
	}
	l.sent++
	return copy(p, l.request), nil
}

func (l *loop) Run(e *protocol.Execute) protocol.Outcome { return protocol.Outcome{Payload: e.Inputs} }
func (l *loop) Release()                                 {}

// Once its buffers have grown, Serve allocates nothing for a request. Not
// parallel: the counters are the whole process's.
func TestServeDoesNotAllocate(t *testing.T) {
	l := &loop{request: execute("t", strings.Repeat("x", 10_000)), warm: 10, requests: 10_010}
	if err := Serve(l, io.Discard, l, protocol.DefaultMaxFrame, quiet); err != nil {
		t.Fatal(err)
	}
	// The runtime itself may allocate a little meanwhile.
	if n := l.after.Mallocs - l.before.Mallocs; n > 100 {
		t.Errorf("%d allocations for %d requests", n, l.requests-l.warm)
	}
}
