package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/record"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// fakePool is a pool that answers as a function says, by the input's index.
type fakePool func(ctx context.Context, index int64, r pool.Request) (pool.Result, error)

func (f fakePool) Execute(ctx context.Context, r pool.Request) (pool.Result, error) {
	index, ok := IndexOf(r.Context)
	if !ok {
		return pool.Result{}, errors.New("the context has no index")
	}
	return f(ctx, index, r)
}

// echo answers the request's arguments.
func echo(_ context.Context, _ int64, r pool.Request) (pool.Result, error) {
	return pool.Result{Outputs: r.Inputs}, nil
}

// numbers is a source of n inputs, [0], [1], ...; of endless ones if n is negative.
type numbers struct {
	n    int64
	next atomic.Int64
}

func (s *numbers) Next(ctx context.Context) (Input, error) {
	i := s.next.Load()
	if i == s.n {
		return Input{}, io.EOF
	}
	s.next.Add(1)
	return Input{Index: i, Text: fmt.Appendf(nil, "[%d]", i)}, ctx.Err()
}

// parse reads an output, each line of which must be a record.
func parse(t *testing.T, output []byte) (records []record.Record) {
	t.Helper()
	for line := range bytes.Lines(output) {
		var r record.Record
		if err := json.Unmarshal(line, &r); err != nil || r.Index == nil {
			t.Fatalf("line %q: %v", line, err)
		}
		records = append(records, r)
	}
	return records
}

func indices(records []record.Record) (all []int64) {
	for _, r := range records {
		all = append(all, *r.Index)
	}
	return all
}

func upTo(n int64) (all []int64) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func crash(signal syscall.Signal) error {
	return &pool.CrashError{Report: pool.Report{Phase: pool.PhaseRun, Exit: pool.Exit{Code: -1, Signal: signal}}}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	for _, unordered := range []bool{false, true} {
		var out bytes.Buffer
		b := New(Config{
			Pool: fakePool(func(_ context.Context, index int64, r pool.Request) (pool.Result, error) {
				for range rand.N(200) {
					_ = time.Now()
				}
				if index%7 == 3 {
					return pool.Result{}, crash(syscall.SIGSEGV)
				}
				return pool.Result{Outputs: r.Inputs}, nil
			}),
			Package: "p", Task: "t", Source: &numbers{n: 2000}, Output: &out,
			Jobs: 8, Window: 20, Unordered: unordered, ArgsLimit: 100,
		})
		if err := b.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		records := parse(t, out.Bytes())
		got := indices(records)
		if unordered {
			slices.Sort(got)
		}
		if !slices.Equal(got, upTo(2000)) {
			t.Fatalf("unordered %v: indices %v", unordered, got)
		}
		for _, r := range records {
			want := record.OK
			if *r.Index%7 == 3 {
				want = record.Crash
			}
			args := fmt.Sprintf("[%d]", *r.Index)
			if r.Outcome != want || string(r.Args) != args || want == record.OK && string(r.Results[0]) != args[1:len(args)-1] {
				t.Fatalf("%+v", r)
			}
		}
		s := b.Stats()
		if s.Done != 2000 || s.Failed != 286 || s.Written != 2000 || s.Taken != 2000 || len(s.Causes) != 1 ||
			s.Causes[0] != (Cause{"crashed (SIGSEGV)", 286}) || len(s.Lately) != maxLately || len(s.Running) != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// A slow input lets only so many others pass it, of endless ones; without order, all.
func TestWindow(t *testing.T) {
	t.Parallel()
	const window = 50
	source := &numbers{n: -1}
	release, full := make(chan struct{}), make(chan struct{})
	var done atomic.Int64
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	var out bytes.Buffer
	b := New(Config{
		Pool: fakePool(func(ctx context.Context, index int64, r pool.Request) (pool.Result, error) {
			switch {
			case index == 0:
				<-release
			case done.Add(1) == window-1:
				close(full)
			case done.Load() == 10*window:
				cancel(reason)
			}
			return pool.Result{Outputs: r.Inputs}, nil
		}),
		Package: "p", Task: "t", Source: source, Output: &out, Jobs: 4, Window: window,
	})
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	<-full
	if taken := source.next.Load(); taken != window {
		t.Errorf("%d inputs read while the first is not done, want %d", taken, window)
	}
	close(release)
	if err := <-ended; !errors.Is(err, reason) {
		t.Errorf("%v", err)
	}
	got := indices(parse(t, out.Bytes()))
	if !slices.IsSorted(got) || len(got) < 10*window {
		t.Errorf("%d records: %v", len(got), got)
	}

	// Without order the first one does not matter.
	release, done = make(chan struct{}), atomic.Int64{}
	out.Reset()
	b = New(Config{
		Pool: fakePool(func(ctx context.Context, index int64, r pool.Request) (pool.Result, error) {
			if index == 0 {
				<-release
			} else if done.Add(1) == 10*window {
				close(release)
			}
			return pool.Result{Outputs: r.Inputs}, nil
		}),
		Package: "p", Task: "t", Source: &numbers{n: 20 * window}, Output: &out, Jobs: 4, Window: window, Unordered: true,
	})
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := indices(parse(t, out.Bytes())); len(got) != 20*window || got[0] == 0 {
		t.Errorf("%d records: %v", len(got), got)
	}
}

// Large answers that wait stop the reading long before the window does.
func TestHeldBytes(t *testing.T) {
	t.Parallel()
	const size = 64 << 10
	answer, err := tdl.EncodeValues(strings.Repeat("x", size))
	if err != nil {
		t.Fatal(err)
	}
	source := &numbers{n: 32}
	release := make(chan struct{})
	var out discard
	b := New(Config{
		Pool: fakePool(func(ctx context.Context, index int64, r pool.Request) (pool.Result, error) {
			if index == 0 {
				<-release
			}
			return pool.Result{Outputs: answer}, nil
		}),
		Package: "p", Task: "t", Source: source, Output: &out, Jobs: 4, Window: 1000,
	})
	const limit = 16 * size
	b.window.limit = limit
	ended := make(chan error)
	go func() { ended <- b.Run(t.Context()) }()
	b.window.mu.Lock()
	for b.window.held < limit {
		b.window.changed.Wait()
	}
	b.window.mu.Unlock()
	// What is under way at that moment still comes: one for each job, and in the channel.
	if taken := source.next.Load(); taken > limit/size+2*4+2 {
		t.Errorf("%d inputs read", taken)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	b.window.mu.Lock()
	defer b.window.mu.Unlock()
	if b.window.held != 0 || b.window.written != 32 {
		t.Errorf("%d bytes held at the end, %d written", b.window.held, b.window.written)
	}
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func TestRetries(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	tries := map[int64]int{}
	contexts := map[uint64]bool{}
	var out bytes.Buffer
	b := New(Config{
		Pool: fakePool(func(ctx context.Context, index int64, r pool.Request) (pool.Result, error) {
			mu.Lock()
			defer mu.Unlock()
			tries[index]++
			c, err := tdl.DecodeContext(r.Context)
			if err != nil {
				return pool.Result{}, err
			}
			contexts[c.TaskInstanceID] = true
			switch {
			case index == 1: // for ever
				return pool.Result{}, crash(syscall.SIGABRT)
			case index == 2 && tries[index] == 1:
				return pool.Result{}, &pool.TimeoutError{Report: pool.Report{Phase: pool.PhaseRun}}
			case index == 3: // not what is tried again
				return pool.Result{}, &pool.ExecutorError{Kind: pool.TaskError, Err: &tdl.Error{Kind: tdl.ExecutionError}}
			case index == 4 && tries[index] < startTries: // nor does this count
				return pool.Result{}, &pool.SpawnError{Executor: "e", Err: errors.New("x")}
			}
			return pool.Result{Outputs: r.Inputs}, nil
		}),
		Package: "p", Task: "t", Source: &numbers{n: 5}, Output: &out, Jobs: 2,
		Retries: 2, RetryOn: []record.Outcome{record.Crash, record.Timeout},
	})
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		outcome  record.Outcome
		attempts int
	}{{record.OK, 1}, {record.Crash, 3}, {record.OK, 2}, {record.TaskError, 1}, {record.OK, 1}} {
		if r := parse(t, out.Bytes())[i]; r.Outcome != want.outcome || r.Attempts != want.attempts {
			t.Errorf("input %d: %s after %d attempts", i, r.Outcome, r.Attempts)
		}
	}
	if b.Stats().Retried != 3 || len(contexts) != 3 {
		t.Errorf("%+v, contexts %v", b.Stats(), contexts)
	}
}

func TestFailFast(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := New(Config{
		Pool: fakePool(func(ctx context.Context, index int64, r pool.Request) (pool.Result, error) {
			if index < 10 {
				return pool.Result{Outputs: r.Inputs}, nil
			}
			if index == 10 {
				return pool.Result{}, crash(syscall.SIGSEGV)
			}
			<-ctx.Done()
			return pool.Result{}, &pool.CanceledError{Running: true, Err: ctx.Err()}
		}),
		Package: "p", Task: "t", Source: &numbers{n: -1}, Output: &out, Jobs: 3, FailFast: true,
	})
	err := b.Run(t.Context())
	var stopped *StoppedError
	if !errors.As(err, &stopped) || !errors.Is(err, ErrFailFast) || stopped.Index != 10 {
		t.Errorf("%v", err)
	}
	if got := indices(parse(t, out.Bytes())); !slices.Equal(got, upTo(11)) {
		t.Errorf("%v", got)
	}
}

// What every input would meet ends it all, and leaves no record.
func TestEndOfAll(t *testing.T) {
	t.Parallel()
	inLoad := crash(syscall.SIGSEGV)
	inLoad.(*pool.CrashError).Phase = pool.PhaseLoad
	for _, test := range []struct {
		err  error
		want int // calls
	}{
		{&pool.ExecutorError{Package: "p", Kind: pool.InvalidLibrary}, 1},
		{&pool.ExecutorError{Package: "p", Kind: pool.PackageInitError, Err: &tdl.Error{Kind: tdl.ExecutionError}}, 1},
		{&pool.ExecutorError{Package: "p", Kind: pool.TaskError, Err: &tdl.Error{Kind: tdl.TaskNotFound}}, 1},
		{&pool.BreakerError{Err: inLoad}, 1},
		{pool.ErrClosed, 1},
		{&pool.SpawnError{Executor: "e", Err: errors.New("x")}, startTries},
		{&pool.SpawnError{Executor: "e", Err: fs.ErrNotExist}, 1},
		{inLoad, startTries},
		{&pool.TimeoutError{Report: pool.Report{Phase: pool.PhaseLoad}}, startTries},
	} {
		calls := 0
		var out bytes.Buffer
		b := New(Config{
			Pool: fakePool(func(_ context.Context, index int64, r pool.Request) (pool.Result, error) {
				if index < 3 {
					return pool.Result{Outputs: r.Inputs}, nil
				}
				calls++
				return pool.Result{}, test.err
			}),
			Package: "p", Task: "t", Source: &numbers{n: -1}, Output: &out, Jobs: 1, Retries: 3, RetryOn: []record.Outcome{record.Crash, record.Timeout},
		})
		var stopped *StoppedError
		if err := b.Run(t.Context()); !errors.Is(err, test.err) || !errors.As(err, &stopped) || stopped.Index != 3 || calls != test.want {
			t.Errorf("%T: %v after %d calls, want %d", test.err, err, calls, test.want)
		}
		if got := indices(parse(t, out.Bytes())); !slices.Equal(got, upTo(3)) {
			t.Errorf("%T: records %v", test.err, got)
		}
	}
}

// When it is stopped, all that was done is written, also what came after a gap; what
// was killed has no record.
func TestStop(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var done atomic.Int64
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("stopped")
	b := New(Config{
		Pool: fakePool(func(ctx context.Context, index int64, r pool.Request) (pool.Result, error) {
			if index == 2 || done.Add(1) > 9 {
				if index != 2 {
					cancel(reason)
				}
				<-ctx.Done()
				return pool.Result{}, &pool.CanceledError{Running: true, Err: ctx.Err()}
			}
			return pool.Result{Outputs: r.Inputs}, nil
		}),
		Package: "p", Task: "t", Source: &numbers{n: -1}, Output: &out, Jobs: 2, Window: 100,
	})
	if err := b.Run(ctx); !errors.Is(err, reason) {
		t.Errorf("%v", err)
	}
	if got := indices(parse(t, out.Bytes())); !slices.Equal(got, []int64{0, 1, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("%v", got)
	}
}

type brokenWriter struct {
	good int // writes
	err  error
}

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.good--; w.good < 0 {
		return len(b) / 2, w.err
	}
	return len(b), nil
}

func TestBrokenOutput(t *testing.T) {
	t.Parallel()
	b := New(Config{
		Pool: fakePool(echo), Package: "p", Task: "t", Source: &numbers{n: -1},
		Output: &brokenWriter{good: 2, err: syscall.ENOSPC}, Jobs: 2, Window: 100,
	})
	var broken *OutputError
	if err := b.Run(t.Context()); !errors.As(err, &broken) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	if s := b.Stats(); s.Written == 0 || s.Written >= s.Done+1 {
		t.Errorf("%+v", s)
	}
}

// A record does not wait for others that may never come.
func TestFlush(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	first := true
	b := New(Config{
		Pool: fakePool(echo), Package: "p", Task: "t", Output: w, Jobs: 1, Window: 10,
		Source: sourceFunc(func(ctx context.Context) (Input, error) {
			if first {
				first = false
				return Input{Text: []byte("[1]")}, nil
			}
			<-ctx.Done()
			return Input{}, ctx.Err()
		}),
	})
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	line := make([]byte, 4096)
	n, err := r.Read(line)
	if err != nil || len(parse(t, line[:n])) != 1 {
		t.Errorf("%q, %v", line[:n], err)
	}
	cancel()
	<-ended
}

type sourceFunc func(ctx context.Context) (Input, error)

func (f sourceFunc) Next(ctx context.Context) (Input, error) { return f(ctx) }

// Inputs that are none get a record and do not end anything.
func TestBadInputs(t *testing.T) {
	t.Parallel()
	text := "[1]\n\n  \n[1,2\n7\n{\"a\":1}\n[\"\xff\"]\n" + strings.Repeat("x", MaxLine+1) + "\n[\"" + strings.Repeat("y", 2000) + "\"]\n[]"
	var out bytes.Buffer
	b := New(Config{
		Pool: fakePool(func(_ context.Context, index int64, r pool.Request) (pool.Result, error) {
			if index == 6 {
				return pool.Result{}, &pool.TooLargeError{}
			}
			return pool.Result{Outputs: r.Inputs}, nil
		}),
		Package: "p", Task: "t", Source: NewLines(strings.NewReader(text), '\n', false), Output: &out, Jobs: 3, ArgsLimit: 1000,
		Check: func(inputs []byte) error {
			if inputs[0] == 0 {
				return errors.New("expected 1 argument")
			}
			return nil
		},
	})
	if err := b.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	records := parse(t, out.Bytes())
	for i, want := range []struct {
		outcome record.Outcome
		text    string
	}{
		{record.OK, ""},
		{record.BadInput, "line 4: JSON: unexpected end, where ',' or ']' should be (offset 4)"},
		{record.BadInput, "line 5: it is to be a JSON array of arguments, and is 7"},
		{record.BadInput, `line 6: it is to be a JSON array of arguments, and is {"a":1}`},
		{record.BadInput, "line 7: JSON: "},
		{record.TooLarge, "line 8: 33554433 bytes are over the limit of 33554432 of a line"},
		{record.TooLarge, ""},
		{record.BadInput, "line 10: expected 1 argument"},
	} {
		r := records[i]
		message := ""
		if r.Error != nil {
			message = r.Error.Message
		}
		if r.Outcome != want.outcome || !strings.HasPrefix(message, want.text) {
			t.Errorf("input %d: %s %q, want %s %q", i, r.Outcome, message, want.outcome, want.text)
		}
	}
	if len(records) != 8 || records[0].Args == nil || records[6].Args != nil {
		t.Errorf("%d records: %+v", len(records), records)
	}
	if got := b.Stats(); got.Failed != 7 {
		t.Errorf("%+v", got)
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	value := func(v any) []byte {
		sequence, err := tdl.EncodeValues(v)
		if err != nil {
			t.Fatal(err)
		}
		return sequence[8:]
	}
	fixed := Arguments{Before: [][]byte{value("a"), value(1)}, After: [][]byte{value(true)}}
	for _, test := range []struct {
		plain      bool
		text, want string
	}{
		{false, `[ 2 , {"k":[null]} ]`, `["a",1,2,{"k":[null]},true]`},
		{false, `[]`, `["a",1,true]`},
		{false, `[NaN]`, `["a",1,"NaN",true]`},
		{true, `[]`, `["a",1,"[]",true]`},
		{true, ``, `["a",1,"",true]`},
		{true, `ü"\`, `["a",1,"ü\"\\",true]`},
		{true, "\xff", ""},
	} {
		fixed.Plain = test.plain
		inputs, err := fixed.Encode(&Input{Text: []byte(test.text)})
		got := ""
		if err == nil {
			got = string(fixed.JSON(inputs))
		}
		if got != test.want {
			t.Errorf("%q: %s, %v, want %s", test.text, got, err, test.want)
		}
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	start := time.Now()
	tl := newTally(start, 0)
	for second := range 20 {
		tl.done = int64(second * 100)
		rate := tl.rate(start.Add(time.Duration(second) * time.Second))
		if second > 0 && (rate < 99 || rate > 101) {
			t.Errorf("after %d s: %v", second, rate)
		}
	}
	// It forgets what was long ago.
	if rate := tl.rate(start.Add(60 * time.Second)); rate != 0 {
		t.Errorf("idle: %v", rate)
	}
	if len(tl.samples) > 30 {
		t.Errorf("%d samples", len(tl.samples))
	}
}
