package pool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// start starts an executor of the given behaviour.
func start(t *testing.T, behaviour string, configure ...func(*pool.ProcessConfig)) *pool.Process {
	t.Helper()
	p, err := pool.StartProcess(configuration(behaviour, configure...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func configuration(behaviour string, configure ...func(*pool.ProcessConfig)) pool.ProcessConfig {
	if _, ok := behaviours[behaviour]; !ok {
		panic("no behaviour is called " + behaviour)
	}
	used.Store(behaviour, true)
	// Not os.Executable: the test binary may have been removed meanwhile.
	cfg := pool.ProcessConfig{Executor: "/proc/self/exe", Env: append(os.Environ(),
		envBehaviour+"="+behaviour,
		"GORACE=atexit_sleep_ms=0", // the race detector's default is a second
	)}
	for _, c := range configure {
		c(&cfg)
	}
	return cfg
}

// request is a request with inputs of this size, whose echo is the same.
func request(size int) pool.Request {
	return pool.Request{Package: "p", Task: "t", Context: []byte{0x90}, Inputs: pattern(size)}
}

func pattern(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i * 7)
	}
	return b
}

// small and large are sizes of requests: far below and far above what a pipe
// holds.
const (
	small = 100
	large = 4 << 20
)

// mustEcho checks that the executor still works.
func mustEcho(t *testing.T, p *pool.Process, size int) {
	t.Helper()
	r := request(size)
	result, err := p.Execute(r, patience)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(result.Outputs, r.Inputs) {
		t.Fatalf("%d bytes came back as %d others", size, len(result.Outputs))
	}
	if result.ExecutorTime != executorTime {
		t.Fatalf("executor time %v, want %v", result.ExecutorTime, executorTime)
	}
}

// mustBeGone checks that nothing is left of the process, without waiting.
func mustBeGone(t *testing.T, p *pool.Process) {
	t.Helper()
	select {
	case <-p.Exited():
	default:
		t.Errorf("process %d has not ended", p.PID())
	}
	if err := syscall.Kill(p.PID(), 0); err != syscall.ESRCH {
		t.Errorf("process %d: %v, want ESRCH", p.PID(), err)
	}
}

// within fails the test if f takes longer than it ever should.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s did not return within %v", what, patience)
	}
}

func TestEcho(t *testing.T) {
	t.Parallel()
	p := start(t, "echo")
	for _, size := range []int{0, 1, small, 1 << 16, large, small} {
		mustEcho(t, p, size)
	}
	if exit := p.Shutdown(); exit.Code != 0 || exit.Signal != 0 || exit.Killed != "" || exit.PID != p.PID() {
		t.Errorf("after Shutdown: %v (%+v)", exit, exit)
	}
	mustBeGone(t, p)
}

// Outputs are the caller's: later answers do not change them.
func TestOutputsAreKept(t *testing.T) {
	t.Parallel()
	p := start(t, "echo")
	first, err := p.Execute(pool.Request{Inputs: []byte("first")}, patience)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Execute(pool.Request{Inputs: []byte("other")}, patience); err != nil {
		t.Fatal(err)
	}
	if string(first.Outputs) != "first" {
		t.Errorf("the first outputs have become %q", first.Outputs)
	}
}

// The limit covers writing the request, the run, and reading the answer.
func TestTimeout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		behaviour string
		size      int
	}{
		{"never reads", small},
		{"never reads", large},
		{"reads and never answers", small},
		{"reads and never answers", large},
		{"stops itself", small},
		{"stops itself", large},
		{"half an answer and hangs", small},
		{"an answer in drips", small},
	} {
		t.Run(fmt.Sprint(c.behaviour, " ", c.size), func(t *testing.T) {
			t.Parallel()
			const limit = 50 * time.Millisecond
			p := start(t, c.behaviour)
			var err error
			began := time.Now()
			within(t, "Execute", func() { _, err = p.Execute(request(c.size), limit) })
			if took := time.Since(began); took < limit {
				t.Errorf("it took %v, less than the limit", took)
			}
			var timeout *pool.TimeoutError
			if !errors.As(err, &timeout) {
				t.Fatalf("got %T: %v", err, err)
			}
			if timeout.Package != "p" || timeout.Task != "t" || timeout.Limit != limit || !timeout.Timeout() {
				t.Errorf("got %+v", timeout)
			}
			want := pool.Exit{PID: p.PID(), Code: -1, Signal: syscall.SIGKILL, Killed: "no answer within 50ms"}
			if timeout.Exit != want {
				t.Errorf("exit %+v, want %+v", timeout.Exit, want)
			}
			mustBeGone(t, p)
		})
	}
}

// A limit that has passed before anything was written is a timeout too.
func TestTinyTimeout(t *testing.T) {
	t.Parallel()
	p := start(t, "echo")
	_, err := p.Execute(request(large), 1)
	var timeout *pool.TimeoutError
	if !errors.As(err, &timeout) {
		t.Fatalf("got %T: %v", err, err)
	}
	mustBeGone(t, p)
}

func TestHugeTimeout(t *testing.T) {
	t.Parallel()
	p := start(t, "echo")
	if _, err := p.Execute(request(small), 1<<63-1); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Execute(request(small), 0); err != nil {
		t.Fatal(err)
	}
}

// What is no answer costs the process, and the error says what was wrong.
func TestProtocolError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ behaviour, says string }{
		{"text on stdout", "limit"}, // the text, read as a length
		{"oversize header", "limit"},
		{"empty frame", "Response"},
		{"bad tag", "tag"},
		{"bad outcome tag", "outcome"},
		{"outputs past the end", "outputs"},
		{"undecodable error", "ExecutorError"},
		{"unknown error", "Nope"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			t.Parallel()
			p := start(t, c.behaviour)
			_, err := p.Execute(request(small), patience)
			var damage *pool.ProtocolError
			if !errors.As(err, &damage) {
				t.Fatalf("got %T: %v", err, err)
			}
			if damage.Package != "p" || damage.Task != "t" || damage.Exit.Signal != syscall.SIGKILL || damage.Exit.Killed == "" {
				t.Errorf("got %+v", damage)
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q does not mention %q", err, c.says)
			}
			var message *protocol.MessageError
			var size *protocol.FrameTooLargeError
			if !errors.As(err, &message) && !errors.As(err, &size) {
				t.Errorf("the cause cannot be reached: %v", err)
			}
			mustBeGone(t, p)
		})
	}
}

// An answer that nobody asked for must not become the next request's answer.
func TestUnsolicitedAnswer(t *testing.T) {
	t.Parallel()
	p := start(t, "two answers at once")
	for i := range 3 {
		r := pool.Request{Package: "p", Task: "t", Inputs: []byte{byte(i)}}
		result, err := p.Execute(r, patience)
		if err == nil && bytes.Equal(result.Outputs, r.Inputs) {
			continue
		}
		var damage *pool.ProtocolError
		if !errors.As(err, &damage) {
			t.Fatalf("request %d got %v, %T: %v", i, result.Outputs, err, err)
		}
		mustBeGone(t, p)
		return
	}
	t.Error("three requests passed")
}

// A process that ends without an answer has crashed, whatever its exit status.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		behaviour string
		size      int
		code      int
		signal    syscall.Signal
		stderr    []string
	}{
		{"exits at once", small, 0, 0, nil},
		{"exits at once", large, 0, 0, nil},
		{"exits at once with 3", large, 3, 0, nil},
		{"reads and exits", small, 0, 0, nil},
		{"reads and exits", large, 0, 0, nil},
		{"half an answer and ends", small, 0, 0, nil},
		{"half a header and ends", small, 0, 0, nil},
		{"last words", small, -1, syscall.SIGKILL, []string{"first", "second", "third without a line end"}},
	} {
		t.Run(fmt.Sprint(c.behaviour, " ", c.size), func(t *testing.T) {
			t.Parallel()
			p := start(t, c.behaviour)
			_, err := p.Execute(request(c.size), patience)
			var crash *pool.CrashError
			if !errors.As(err, &crash) {
				t.Fatalf("got %T: %v", err, err)
			}
			want := pool.Exit{PID: p.PID(), Code: c.code, Signal: c.signal}
			if crash.Exit != want || crash.Exit != p.Wait() {
				t.Errorf("exit %+v, want %+v", crash.Exit, want)
			}
			// Also the next time: half an answer is not one too many.
			if _, err := p.Execute(request(small), patience); !errors.As(err, &crash) || crash.Exit != want {
				t.Errorf("the next time: %T: %v", err, err)
			}
			if crash.Package != "p" || crash.Task != "t" || crash.Served != 0 || crash.Ran < 0 || crash.Ran > patience {
				t.Errorf("got %+v", crash)
			}
			if fmt.Sprint(crash.Stderr) != fmt.Sprint(c.stderr) {
				t.Errorf("stderr %q, want %q", crash.Stderr, c.stderr)
			}
			mustBeGone(t, p)
		})
	}
}

// An answer that was written before the end stands; the request after it crashes.
func TestAnswerThenEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "answers and ends")
	mustEcho(t, p, small)
	p.Wait()
	for range 2 {
		_, err := p.Execute(request(small), patience)
		var crash *pool.CrashError
		if !errors.As(err, &crash) || crash.Served != 1 || crash.Exit.Code != 0 || crash.Exit.Killed != "" {
			t.Errorf("got %T: %v", err, err)
		}
	}
}

// The answer also stands if it is read after the process has ended.
func TestAnswerAfterTheEnd(t *testing.T) {
	t.Parallel()
	p := start(t, "answers and ends")
	r := request(small)
	if err := p.Send(&r); err != nil {
		t.Fatal(err)
	}
	p.Wait()
	result, err := p.Receive(&r)
	if err != nil || !bytes.Equal(result.Outputs, r.Inputs) {
		t.Errorf("got %v, %v", result, err)
	}
	if _, err := p.Receive(&r); err != io.EOF {
		t.Errorf("the next answer: %v, want EOF", err)
	}
}

// A process that closes a pipe and lives on is ended, also without a limit.
func TestClosedPipe(t *testing.T) {
	t.Parallel()
	for _, behaviour := range []string{"closes stdout and lives", "closes stdin and lives"} {
		t.Run(behaviour, func(t *testing.T) {
			t.Parallel()
			closed := make(chan string, 1)
			p := start(t, behaviour, func(cfg *pool.ProcessConfig) { cfg.OnStderr = func(line string) { closed <- line } })
			if behaviour == "closes stdin and lives" {
				<-closed
			}
			var err error
			within(t, "Execute", func() { _, err = p.Execute(request(small), 0) })
			var crash *pool.CrashError
			if !errors.As(err, &crash) || crash.Exit.Killed == "" {
				t.Fatalf("got %T: %v", err, err)
			}
			mustBeGone(t, p)
		})
	}
}

// Killed at any moment, with requests of all sizes under way, the executor gives
// each Execute exactly one outcome, and the right one: its own echo, or a crash.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	runs := 200
	if testing.Short() {
		runs = 20
	}
	for run := range runs {
		p, err := pool.StartProcess(configuration("echo"))
		if err != nil {
			t.Fatal(err)
		}
		ours := run%2 == 0
		var answered atomic.Int64
		var killed sync.WaitGroup
		after, spins := int64(rand.IntN(20)), rand.IntN(2000)
		stop := make(chan struct{})
		killed.Go(func() {
			for answered.Load() < after {
				select {
				case <-stop:
					return
				default:
				}
			}
			for range spins {
				answered.Load()
			}
			if ours {
				p.Kill("at random")
			} else if err := syscall.Kill(p.PID(), syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		})
		for n := 0; ; n++ {
			r := request(1 << rand.IntN(19))
			r.Inputs[0] = byte(n)
			result, err := p.Execute(r, patience)
			if err == nil {
				if !bytes.Equal(result.Outputs, r.Inputs) {
					t.Fatalf("run %d: the answer to request %d is another's", run, n)
				}
				answered.Add(1)
				continue
			}
			var crash *pool.CrashError
			if !errors.As(err, &crash) {
				t.Fatalf("run %d: got %T: %v", run, err, err)
			}
			want := pool.Exit{PID: p.PID(), Code: -1, Signal: syscall.SIGKILL}
			if ours {
				want.Killed = "at random"
			}
			if crash.Exit != want || crash.Served != n {
				t.Fatalf("run %d: %+v after %d answers, %d of them known", run, crash.Exit, n, crash.Served)
			}
			break
		}
		close(stop)
		killed.Wait()
		mustBeGone(t, p)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// However much comes on stderr, and however it is cut into lines, the executor
// never blocks on it, and what is kept is bounded.
func TestStderrFlood(t *testing.T) {
	t.Parallel()
	const keptLine = 4<<10 + len("...")
	for _, c := range []struct {
		behaviour string
		last      string // prefix of the last line kept
	}{
		{"many lines", "line 39999 of"},
		{"no line ends", "xxx"},
		{"long lines", "19:yyy"},
	} {
		t.Run(c.behaviour, func(t *testing.T) {
			t.Parallel()
			var longest atomic.Int64
			p := start(t, c.behaviour, func(cfg *pool.ProcessConfig) {
				cfg.StderrLines = 5
				cfg.OnStderr = func(line string) { longest.Store(max(longest.Load(), int64(len(line)))) }
			})
			for range 3 {
				mustEcho(t, p, large)
			}
			if exit := p.Shutdown(); exit.Code != 0 {
				t.Fatal(exit)
			}
			lines := p.StderrTail()
			if len(lines) == 0 || len(lines) > 5 {
				t.Fatalf("%d lines are kept", len(lines))
			}
			for _, line := range lines {
				if len(line) > keptLine {
					t.Errorf("a line of %d bytes is kept", len(line))
				}
			}
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, c.last) {
				t.Errorf("the last line is %.40q...", last)
			}
			if n := longest.Load(); n > 64<<10+100 {
				t.Errorf("OnStderr got a line of %d bytes", n)
			}
		})
	}
}

// grandchild has the executor start a process that outlives it and holds its
// pipes. The process ends with the test.
func grandchild(t *testing.T, p *pool.Process) {
	t.Helper()
	result, err := p.Execute(pool.Request{Task: "leave"}, patience)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(result.Outputs))
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer unix.Close(fd)
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
			t.Errorf("the grandchild did not outlive the executor: %v", err)
		}
	})
}

// The end of a process is its own, not that of whatever it has left behind.
func TestGrandchildHoldsThePipes(t *testing.T) {
	t.Parallel()
	ends := map[string]func(t *testing.T, p *pool.Process){
		"Close":    func(t *testing.T, p *pool.Process) { p.Close() },
		"Shutdown": func(t *testing.T, p *pool.Process) { p.Shutdown() },
		"Wait":     func(t *testing.T, p *pool.Process) { p.Kill("as the test wants"); p.Wait() },
	}
	for _, size := range []int{small, large} {
		for _, limit := range []time.Duration{0, time.Hour} {
			ends[fmt.Sprint("Execute ", size, " ", limit)] = func(t *testing.T, p *pool.Process) {
				r := request(size)
				r.Task = "die"
				_, err := p.Execute(r, limit)
				var crash *pool.CrashError
				if !errors.As(err, &crash) || crash.Exit.Signal != syscall.SIGKILL || crash.Exit.Killed != "" || crash.Served != 1 {
					t.Errorf("got %T: %v", err, err)
				}
			}
		}
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := start(t, "leaves a grandchild")
			grandchild(t, p)
			within(t, name, func() { end(t, p) })
			mustBeGone(t, p)
		})
	}
}

// Nobody reads the request any more, but the pipe stays open: the write must not
// block for ever.
func TestGrandchildHoldsStdin(t *testing.T) {
	t.Parallel()
	p := start(t, "leaves a grandchild")
	grandchild(t, p)
	p.Kill("as the test wants")
	p.Wait()
	within(t, "Execute", func() {
		_, err := p.Execute(request(large), 0)
		var crash *pool.CrashError
		if !errors.As(err, &crash) || crash.Exit.Killed != "as the test wants" {
			t.Errorf("got %T: %v", err, err)
		}
	})
}

func TestSpawnError(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(dir, "damaged")
	if err := os.WriteFile(damaged, []byte("\x7fELF, or nearly"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, executor string
		cause          error // nil: any
	}{
		{"no name", "", nil},
		{"missing path", filepath.Join(dir, "missing"), os.ErrNotExist},
		{"missing on PATH", "no-executor-of-this-name", nil},
		{"directory", dir, os.ErrPermission},
		{"not executable", plain, os.ErrPermission},
		{"no program", damaged, syscall.ENOEXEC},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, err := pool.StartProcess(pool.ProcessConfig{Executor: c.executor})
			var spawn *pool.SpawnError
			if p != nil || !errors.As(err, &spawn) || spawn.Executor != c.executor {
				t.Fatalf("got %v, %T: %v", p, err, err)
			}
			if c.cause != nil && !errors.Is(err, c.cause) {
				t.Errorf("%v is not %v", err, c.cause)
			}
		})
	}
}

// What does not fit a frame is refused before anything is sent.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{0, 4096} {
		p := start(t, "echo", func(cfg *pool.ProcessConfig) { cfg.MaxFrame = limit })
		effective := limit
		if limit == 0 {
			effective = protocol.DefaultMaxFrame
		}
		r := request(0)
		overhead := protocol.ExecuteSize(len(r.Package), len(r.Task), len(r.Context), 0)
		mustEcho(t, p, effective-overhead) // exactly the limit
		_, err := p.Execute(request(effective-overhead+1), patience)
		var tooLarge *pool.TooLargeError
		if !errors.As(err, &tooLarge) {
			t.Fatalf("got %T: %v", err, err)
		}
		if want := (pool.TooLargeError{Package: "p", Task: "t", Size: effective + 1, Limit: effective}); *tooLarge != want {
			t.Errorf("got %+v, want %+v", *tooLarge, want)
		}
		mustEcho(t, p, small)
	}
}

// An answer over the limit is lost, and nothing else.
func TestAnswerTooLarge(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	for _, maxPayload := range []int{0, -1} {
		p, err := pool.New(pool.Config{
			Executor: built.Executor, PackageDir: built.Packages, Executors: 1, Spares: -1, Timeout: patience,
			MaxFrame: 1 << 20, MaxPayload: maxPayload,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(context.Background())
		pid := 0
		for _, size := range []int{1 << 19, 2 << 20, 1 << 19, 8<<20 - protocol.ResponseSize(0), 1000} {
			result, err := p.Execute(t.Context(), pool.Request{Package: "misbehave", Task: "output_bytes", Inputs: tasktest.Inputs(uint64(size))})
			if pid == 0 {
				pid = result.PID
			}
			if result.PID != pid {
				t.Errorf("%d bytes: process %d after %d", size, result.PID, pid)
			}
			if size <= 1<<20 {
				if err != nil || len(result.Outputs) != size {
					t.Errorf("%d bytes: got %d, %v", size, len(result.Outputs), err)
				}
				continue
			}
			var tooLarge *pool.TooLargeError
			if !errors.As(err, &tooLarge) || pool.Retryable(err) {
				t.Fatalf("%d bytes: got %T: %v", size, err, err)
			}
			want := pool.TooLargeError{Package: "misbehave", Task: "output_bytes", Size: protocol.ResponseSize(size), Limit: 1 << 20, Answer: true}
			if *tooLarge != want {
				t.Errorf("got %+v, want %+v", *tooLarge, want)
			}
		}
		if s := p.Stats(); s.Succeeded != 3 || s.TooLarge != 2 || s.Spawned != 1 {
			t.Errorf("%+v", s.Counts)
		}
	}
}

// Names that are no text would end an executor, so they are never sent.
func TestInvalidNames(t *testing.T) {
	t.Parallel()
	p := start(t, "echo")
	for _, r := range []pool.Request{{Package: "\xff", Task: "t"}, {Package: "p", Task: "t\xc3"}} {
		_, err := p.Execute(r, patience)
		var failure *pool.ExecutorError
		if !errors.As(err, &failure) || failure.Kind != pool.InvalidUtf8 {
			t.Errorf("%q: got %T: %v", r, err, err)
		}
	}
	mustEcho(t, p, small)
}

// A failure that the executor answers leaves it alive, and keeps its kind.
func TestExecutorError(t *testing.T) {
	t.Parallel()
	p := start(t, "echo")
	for _, kind := range []pool.ErrorKind{
		pool.InvalidLibrary, pool.IncompatibleVersion, pool.DuplicatePackage, pool.InvalidUtf8,
		pool.TaskError, pool.PackageInitError, pool.ErrorPayloadDeserializationFailure,
	} {
		_, err := p.Execute(pool.Request{Package: "p", Task: "fail " + string(kind)}, patience)
		err = fmt.Errorf("wrapped: %w", err)
		var failure *pool.ExecutorError
		if !errors.As(err, &failure) || failure.Kind != kind || failure.Package != "p" {
			t.Fatalf("%s: got %T: %v", kind, err, err)
		}
		if strings.TrimSpace(failure.Error()) == "" || failure.Kind != kind {
			t.Errorf("%s: %q", kind, failure.Error())
		}
		withTask := kind == pool.TaskError || kind == pool.PackageInitError
		var task *tdl.Error
		if errors.As(err, &task) != withTask {
			t.Errorf("%s: a task's error: %v, want %v", kind, !withTask, withTask)
		}
		if errors.Is(err, &tdl.Error{Kind: tdl.Custom}) != withTask {
			t.Errorf("%s: errors.Is disagrees", kind)
		}
		if errors.Is(err, &tdl.Error{Kind: tdl.TaskNotFound}) {
			t.Errorf("%s: is another kind", kind)
		}
		if withTask && task.Message != "as asked" {
			t.Errorf("%s: message %q", kind, task.Message)
		}
	}
	mustEcho(t, p, small)
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	p := start(t, "echo")
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	mustBeGone(t, p)
	_, err := p.Execute(request(small), patience)
	var crash *pool.CrashError
	if !errors.As(err, &crash) || crash.Exit.Killed != "closed" || crash.Ran > patience {
		t.Errorf("Execute after Close: %T: %v", err, err)
	}
	if exit := p.Shutdown(); exit.Killed != "closed" {
		t.Errorf("Shutdown after Close: %v", exit)
	}
}

// Close ends an Execute, wherever that is.
func TestCloseMeanwhile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		behaviour string
		size      int
	}{{"never reads", large}, {"reads and never answers", small}, {"echo", small}, {"echo", large}} {
		t.Run(fmt.Sprint(c.behaviour, " ", c.size), func(t *testing.T) {
			t.Parallel()
			p := start(t, c.behaviour)
			began, failed := make(chan struct{}), make(chan error)
			go func() {
				close(began)
				for {
					if _, err := p.Execute(request(c.size), 0); err != nil {
						failed <- err
						return
					}
				}
			}()
			<-began
			within(t, "Close", func() { p.Close() })
			within(t, "Execute", func() {
				err := <-failed
				var crash *pool.CrashError
				if !errors.As(err, &crash) || crash.Exit.Killed != "closed" {
					t.Errorf("got %T: %v", err, err)
				}
			})
			mustBeGone(t, p)
		})
	}
}

func TestFirstReasonCounts(t *testing.T) {
	t.Parallel()
	p := start(t, "never reads")
	p.Kill("first")
	p.Kill("second")
	want := pool.Exit{PID: p.PID(), Code: -1, Signal: syscall.SIGKILL, Killed: "first"}
	if exit := p.Wait(); exit != want {
		t.Errorf("got %+v, want %+v", exit, want)
	}
	p.Kill("third")
	p.Close()
	if exit := p.Wait(); exit != want {
		t.Errorf("later it is %+v", exit)
	}
}

// A kill that comes too late is not why the process ended.
func TestKillAfterTheEnd(t *testing.T) {
	t.Parallel()
	for range 20 {
		p := start(t, "exits at once with 3")
		// Its end of stdout closes when it exits, just before it can be waited for.
		if _, err := p.Receive(&pool.Request{}); err != io.EOF {
			t.Fatal(err)
		}
		p.Kill("too late?")
		exit := p.Wait()
		if exit.Signal == 0 && exit.Killed != "" {
			t.Fatalf("%+v", exit)
		}
	}
}

func TestShutdownIgnored(t *testing.T) {
	t.Parallel()
	for _, behaviour := range []string{"reads and never answers", "never reads", "stops itself"} {
		p := start(t, behaviour)
		within(t, "Shutdown", func() {
			if exit := p.Shutdown(); exit.Signal != syscall.SIGKILL || exit.Killed == "" {
				t.Errorf("%s: %v", behaviour, exit)
			}
		})
	}
}

func TestCloseInput(t *testing.T) {
	t.Parallel()
	p := start(t, "echo")
	mustEcho(t, p, small)
	if err := p.CloseInput(); err != nil {
		t.Fatal(err)
	}
	if exit := p.Wait(); exit.Code != 0 || exit.Signal != 0 || exit.Killed != "" {
		t.Errorf("got %v", exit)
	}
}

// OnStderr gets all lines, in order, before Exited is closed; the tail is the
// last of them.
func TestOnStderr(t *testing.T) {
	t.Parallel()
	var lines []string // complete when the process has ended
	p := start(t, "many lines", func(cfg *pool.ProcessConfig) {
		cfg.OnStderr = func(line string) { lines = append(lines, line) }
	})
	mustEcho(t, p, small)
	p.Shutdown()
	if len(lines) != 40_000 {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, fmt.Sprintf("line %d of", i)) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
	if tail := p.StderrTail(); fmt.Sprint(tail) != fmt.Sprint(lines[len(lines)-32:]) {
		t.Errorf("the tail is %q", tail)
	}
}

func TestPackageDir(t *testing.T) {
	t.Parallel()
	const name = "SPIDER_TDL_PACKAGE_DIR"
	p := start(t, "echo", func(cfg *pool.ProcessConfig) {
		cfg.Env = append(cfg.Env, name+"=/elsewhere")
		cfg.PackageDir = "/some/where"
	})
	mustEcho(t, p, 1) // the program has started: its environment is in place
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for assignment := range strings.SplitSeq(string(environment), "\x00") {
		if strings.HasPrefix(assignment, name+"=") {
			found = append(found, assignment)
		}
	}
	if fmt.Sprint(found) != "["+name+"=/some/where]" {
		t.Errorf("got %q", found)
	}
}

// A slow observer of stderr delays the report of a crash, and takes nothing away
// from it.
func TestSlowObserver(t *testing.T) {
	t.Parallel()
	seen := 0
	p := start(t, "prints much and aborts", func(cfg *pool.ProcessConfig) {
		cfg.OnStderr = func(string) {
			// Far from all of endPatience, also where a millisecond takes ten.
			if seen++; seen%10 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	_, err := p.Execute(request(10), patience)
	var crash *pool.CrashError
	if !errors.As(err, &crash) {
		t.Fatalf("got %v", err)
	}
	if n := len(crash.Stderr); n == 0 || crash.Stderr[n-1] != "the reason" || seen != 1001 {
		t.Errorf("%d lines observed, the last ones are %q", seen, crash.Stderr)
	}
}

// A program that reaps its children elsewhere loses their statuses, but nothing
// else happens.
func TestStatusTakenElsewhere(t *testing.T) {
	t.Parallel()
	used.Store("ignores SIGCHLD", true)
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envBehaviour+"=ignores SIGCHLD", "GORACE=atexit_sleep_ms=0")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "true enough\n" {
		t.Errorf("%v: %s", err, out)
	}
}

// With Phases, the loss of a process is told as what it is: coming up, loading, or running.
func TestPhases(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	execute := func(executor, pkg, task string, timeout time.Duration) error {
		p, err := pool.StartProcess(pool.ProcessConfig{Executor: executor, PackageDir: built.Packages, Phases: true})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if executor == built.Executor {
			// Another package's load, and its task, are not in the way.
			echoed, err := p.Execute(pool.Request{Package: "misbehave", Task: "echo", Context: request(0).Context, Inputs: tasktest.Inputs(1)}, patience)
			if err != nil || !bytes.Equal(echoed.Outputs, tasktest.Inputs(1)) {
				t.Errorf("%x, %v", echoed.Outputs, err)
			}
		}
		_, err = p.Execute(pool.Request{Package: pkg, Task: task, Context: request(0).Context, Inputs: tasktest.Inputs()}, timeout)
		return err
	}
	for _, c := range []struct {
		pkg, task string
		limit     time.Duration
		phase     pool.Phase
		served    int
	}{
		{"init_crashes", "ok", patience, pool.PhaseLoad, 1},
		{"constructor_exits", "ok", patience, pool.PhaseLoad, 1},
		{"init_hangs", "ok", limited, pool.PhaseLoad, 1},
		{"misbehave", "segv", patience, pool.PhaseRun, 1},
	} {
		err := execute(built.Executor, c.pkg, c.task, c.limit)
		var (
			crash   *pool.CrashError
			timeout *pool.TimeoutError
			report  pool.Report
		)
		switch {
		case errors.As(err, &crash):
			report = crash.Report
		case errors.As(err, &timeout) && timeout.Limit == c.limit:
			report = timeout.Report
		}
		if report.Phase != c.phase || report.Package != c.pkg || report.Task != c.task || report.Served != c.served {
			t.Errorf("%s: %v (%+v)", c.pkg, err, report)
		}
	}
	var answered *pool.ExecutorError
	if err := execute(built.Executor, "init_fails", "ok", patience); !errors.As(err, &answered) || answered.Kind != pool.PackageInitError || answered.Task != "ok" {
		t.Errorf("%v", err)
	}
	if err := execute(built.Executor, "misbehave", "absent", patience); !errors.As(err, &answered) || answered.Kind != pool.TaskError || answered.Task != "absent" {
		t.Errorf("%v", err)
	}
	for _, program := range []string{"true", "cat"} {
		var spawn *pool.SpawnError
		err := execute(program, "misbehave", "echo", patience)
		if !errors.As(err, &spawn) || errors.As(err, new(*pool.CrashError)) || errors.As(err, new(*pool.ProtocolError)) {
			t.Errorf("%s: %v", program, err)
		}
	}
}
