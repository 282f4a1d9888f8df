package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// What steers TestStress.
const (
	// envStress is how long to run, as in 5m.
	envStress = "SPIDER_STRESS"
	// envStressSeed repeats the calls and signals of a run. It cannot repeat when
	// exactly they meet.
	envStressSeed = "SPIDER_STRESS_SEED"
	// envStressWithout names protections to leave out, to see what is found then.
	envStressWithout = "SPIDER_STRESS_WITHOUT"

	// envCoreDumps is the executor's own; the other tests keep it away from it.
	envCoreDumps = "SPIDER_CORE_DUMPS"
)

// stressPatience is far more than any call takes.
const stressPatience = 60 * time.Second

// The executor's Go runtime, those of four Go packages and a package in C live in
// one process, and each does what it can to disturb the others, with signals from
// outside on top. Every answer has to be right.
func TestStress(t *testing.T) {
	t.Parallel()
	duration, workers := 4*time.Second, 1
	if testing.Short() {
		duration = time.Second
	}
	if text := os.Getenv(envStress); text != "" {
		var err error
		if duration, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", envStress, err)
		}
		workers = 2
	}
	seed := rand.Uint64()
	if text := os.Getenv(envStressSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", envStressSeed, err)
		}
	}
	t.Logf("%s=%d", envStressSeed, seed)
	for worker := range workers {
		t.Run(strconv.Itoa(worker), func(t *testing.T) {
			t.Parallel()
			newStress(t, seed, uint64(worker)).run(duration)
		})
	}
}

// stress is one executor under stress.
type stress struct {
	executor
	random *rand.Rand
	tasks  []stressTask
	logs   []logFile

	calls    map[string]int // by task
	total    int
	text     map[string]int // lines that calls should have left on stderr
	signaler *signaler

	mu     sync.Mutex
	stderr map[string]int
}

// stressTask is one kind of call.
type stressTask struct {
	name   string // package/task
	weight int    // how often, beside the others
	most   int    // calls in all, for what leaves something behind; 0: any number
	make   func(r *rand.Rand) stressCall
}

// stressCall is a call and what is right for an answer.
type stressCall struct {
	inputs []byte
	check  func(out []byte, err error) error
	pkg    string // if it is not the task's
}

func newStress(t *testing.T, seed, worker uint64) *stress {
	s := &stress{
		random: rand.New(rand.NewPCG(seed, worker)),
		calls:  map[string]int{},
		text:   map[string]int{},
		stderr: map[string]int{},
	}
	options := []option{
		// Every runtime collects as often as it can: with so little, whenever it
		// has allocated some 200 kB.
		withEnv("GOGC=5"),
		func(cfg *pool.ProcessConfig) {
			cfg.OnStderr = func(line string) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.stderr[line]++
			}
		},
	}
	// To find out what a crash was: with it and ulimit -c, a core is left here.
	if dumps := os.Getenv(envCoreDumps); dumps != "" {
		options = append(options, withEnv(envCoreDumps+"="+dumps))
	}
	if left := os.Getenv(envStressWithout); left != "" {
		options = append(options, without(left))
	}
	for range 4 {
		s.logs = append(s.logs, makeLogFile(t, s.random))
	}
	s.executor = start(t, options...)
	s.signaler = startSignaler(t, s.PID(), rand.New(rand.NewPCG(seed, worker|1<<63)))
	s.tasks = s.cTasks()
	for _, pkg := range []string{"gobehave", "gobehave2"} {
		s.tasks = append(s.tasks, goTasks(pkg)...)
	}
	s.tasks = append(s.tasks, s.otherTasks()...)
	return s
}

// run calls tasks for a while. What it measures at the end it compares with what
// there was after a quarter of that: by then every package has been loaded, and
// every pool has been filled.
func (s *stress) run(duration time.Duration) {
	began := time.Now()
	// The handler of catch_segv stays; loaded after it, the Go packages see the
	// faults of their own code first. Nothing else has an order: the packages are
	// loaded by the calls, with signals coming in.
	s.do(s.tasks[slices.IndexFunc(s.tasks, func(t stressTask) bool { return t.name == "misbehave/catch_segv" })])
	for range 2 {
		for _, i := range s.random.Perm(len(s.tasks)) {
			s.do(s.tasks[i])
		}
	}
	s.until(began.Add(duration / 4))
	before := s.measure()
	s.until(began.Add(duration))
	after := s.measure()
	s.signaler.stop()

	if !slices.Equal(before.fds, after.fds) {
		s.t.Errorf("descriptors\n%s\nbecame\n%s", strings.Join(before.fds, "\n"), strings.Join(after.fds, "\n"))
	}
	// Each runtime makes its poller at a time of its own, once.
	if most := 2 * goRuntimes; after.polls > most {
		s.t.Errorf("%d descriptors of pollers, want at most %d", after.polls, most)
	}
	if after.threads > before.threads+before.threads/4+4 {
		s.t.Errorf("%d threads became %d", before.threads, after.threads)
	}
	if after.rss > before.rss+before.rss/4+16<<10 {
		s.t.Errorf("resident memory grew from %d to %d KiB", before.rss, after.rss)
	}
	peak := statusKiB(s.PID(), "VmHWM:")
	collections := map[string]uint32{}
	for _, pkg := range []string{"gobehave", "gobehave2"} {
		n, goroutines := s.goStats(pkg)
		collections[pkg] = n
		// What has been left behind on purpose, and a few of the runtime's.
		if goroutines > 2*goLeft+10 {
			s.t.Errorf("%s has %d goroutines", pkg, goroutines)
		}
	}
	if exit := s.Shutdown(); exit.Code != 0 {
		s.t.Errorf("after Shutdown: %v", exit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !maps.Equal(s.stderr, s.text) {
		s.t.Errorf("stderr has %v, want %v", s.stderr, s.text)
	}
	s.t.Logf("%d calls in %v, %v; signals %v; collections %v; threads %d to %d; resident %d to %d KiB, at most %d; descriptors %d",
		s.total, time.Since(began).Round(time.Millisecond), s.calls, s.signaler.sent, collections,
		before.threads, after.threads, before.rss, after.rss, peak, len(after.fds)+after.polls)
}

// until makes random calls for as long.
func (s *stress) until(end time.Time) {
	sum := 0
	for _, task := range s.tasks {
		sum += task.weight
	}
	for time.Now().Before(end) {
		at := s.random.IntN(sum)
		for _, task := range s.tasks {
			if at -= task.weight; at < 0 {
				s.do(task)
				break
			}
		}
	}
}

func (s *stress) do(task stressTask) {
	s.t.Helper()
	if task.most > 0 && s.calls[task.name] == task.most {
		return
	}
	s.total++
	s.calls[task.name]++
	call := task.make(s.random)
	pkg, name, _ := strings.Cut(task.name, "/")
	if call.pkg != "" {
		pkg = call.pkg
	}
	out, err := s.exchange(&pool.Request{Package: pkg, Task: name, Context: tasktest.Context(), Inputs: call.inputs})
	if err := call.check(out, err); err != nil {
		s.t.Fatalf("call %d, %s: %v\nstderr:\n%s", s.total, task.name, err, s.unexpected())
	}
}

// exchange is Execute without its kill: a process that hangs is looked at first.
func (s *stress) exchange(request *pool.Request) ([]byte, error) {
	s.t.Helper()
	err := s.SetDeadline(time.Now().Add(stressPatience))
	if err == nil {
		err = s.Send(request)
	}
	var result pool.Result
	if err == nil {
		result, err = s.Receive(request)
	}
	var answered *pool.ExecutorError
	if err == nil || errors.As(err, &answered) {
		return result.Outputs, err
	}
	where := fmt.Sprintf("call %d, %.100s/%s", s.total, request.Package, request.Task)
	s.signaler.stop()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		threads := describeThreads(s.PID())
		// The executor's own Go runtime now writes its traces and ends.
		_ = syscall.Kill(s.PID(), syscall.SIGQUIT)
		select {
		case <-s.Exited():
		case <-time.After(patience):
			s.Kill("it does not end")
		}
		s.t.Fatalf("%s: no answer\n%s\nstderr:\n%s", where, threads, s.unexpected())
	}
	select {
	case <-s.Exited():
	case <-time.After(patience):
		s.Kill("it does not end")
	}
	s.t.Fatalf("%s: %v: %v\nstderr:\n%s", where, err, s.Wait(), s.unexpected())
	return nil, err
}

// unexpected is what stderr has beside what calls printed.
func (s *stress) unexpected() string {
	return strings.Join(slices.DeleteFunc(s.StderrTail(), func(line string) bool { return s.text[line] > 0 }), "\n")
}

// describeThreads is what the kernel knows of a process's threads.
func describeThreads(pid int) string {
	var b strings.Builder
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, dir := range files {
		read := func(name string) string {
			text, _ := os.ReadFile(filepath.Join(dir, name))
			return strings.TrimSpace(string(text))
		}
		fmt.Fprintf(&b, "%s %s wchan %s syscall %s\n  stat %s\n", filepath.Base(dir), read("comm"), read("wchan"), read("syscall"), read("stat"))
		for line := range strings.Lines(read("status")) {
			if strings.HasPrefix(line, "Sig") || strings.HasPrefix(line, "Shd") {
				b.WriteString("  " + strings.TrimSpace(line))
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

type measured struct {
	fds          []string // what each refers to
	polls        int      // those that Go's pollers have
	threads, rss int
}

// measure looks at the process between two calls, when it has given back what
// memory it can.
func (s *stress) measure() (m measured) {
	for _, pkg := range []string{"gobehave", "gobehave2"} {
		s.do(stressTask{name: pkg + "/free_memory", make: simple(nothing)})
	}
	_, m.threads, m.rss = usage(s.t, s.PID())
	dir := fmt.Sprintf("/proc/%d/fd", s.PID())
	open, err := os.ReadDir(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, fd := range open {
		target, _ := os.Readlink(filepath.Join(dir, fd.Name()))
		switch target {
		case "anon_inode:[eventpoll]", "anon_inode:[eventfd]":
			m.polls++
		default:
			m.fds = append(m.fds, target)
		}
	}
	slices.Sort(m.fds)
	return m
}

func statusKiB(pid int, field string) (n int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			n, _ = strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		}
	}
	return n
}

func (s *stress) goStats(pkg string) (collections uint32, goroutines int) {
	s.do(stressTask{name: pkg + "/stats", make: simple(func(out []byte, err error) error {
		if err != nil {
			return err
		}
		return tasktest.Outputs(out, &collections, &goroutines)
	})})
	return collections, goroutines
}

// Checks of an answer.

func nothing(out []byte, err error) error { return exactly()(out, err) }

// exactly wants these values.
func exactly(values ...any) func([]byte, error) error {
	return func(out []byte, err error) error {
		if err != nil {
			return err
		}
		want := tasktest.Inputs(values...)
		if len(values) == 0 && len(out) == 0 {
			return nil // no values may also be no bytes
		}
		if !bytes.Equal(out, want) {
			return fmt.Errorf("answered %d bytes %.100x, want %d bytes %.100x", len(out), out, len(want), want)
		}
		return nil
	}
}

// decoded wants one value that may be encoded in more than one way.
func decoded[T any](want T) func([]byte, error) error {
	return func(out []byte, err error) error {
		var got T
		if err == nil {
			err = tasktest.Outputs(out, &got)
		}
		if err != nil {
			return err
		}
		if !reflect.DeepEqual(got, want) {
			return fmt.Errorf("answered %.200v, want %.200v", got, want)
		}
		return nil
	}
}

func number(satisfies func(uint64) bool) func([]byte, error) error {
	return func(out []byte, err error) error {
		var n uint64
		if err == nil {
			err = tasktest.Outputs(out, &n)
		}
		if err == nil && !satisfies(n) {
			err = fmt.Errorf("answered %d", n)
		}
		return err
	}
}

// fails wants an error of the task's own.
func fails(kind tdl.ErrorKind, text string) func([]byte, error) error {
	return func(out []byte, err error) error {
		var failure *tdl.Error
		if !errors.As(err, &failure) || failure.Kind != kind || failure.Message != text {
			return fmt.Errorf("answered %.100x, %.200v; want an error of kind %s, %.100q", out, err, kind, text)
		}
		return nil
	}
}

// refuses wants an error of the executor's.
func refuses(kind pool.ErrorKind) func([]byte, error) error {
	return func(out []byte, err error) error {
		var failure *pool.ExecutorError
		if !errors.As(err, &failure) || failure.Kind != kind {
			return fmt.Errorf("answered %.100x, %.200v; want an error of kind %s", out, err, kind)
		}
		return nil
	}
}

// simple is a call that is always the same.
func simple(check func([]byte, error) error, args ...any) func(*rand.Rand) stressCall {
	return func(*rand.Rand) stressCall { return stressCall{inputs: tasktest.Inputs(args...), check: check} }
}

// Values.

// size is mostly small, at times up to 100 kB.
func size(r *rand.Rand) int { return r.IntN(1 << (4 + r.IntN(14)) * 100 / 128) }

func someBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func someText(r *rand.Rand, n int) string {
	b := someBytes(r, n)
	for i := range b {
		b[i] = ' ' + b[i]%95
	}
	return string(b)
}

// nest is what gobehave's echo_nest takes.
type nest struct {
	Name     string
	Numbers  []int64
	Ratio    float64
	Labels   map[string]string
	Children []nest
	Only     *nest
}

func someNest(r *rand.Rand, depth int) nest {
	n := nest{
		Name: someText(r, r.IntN(100)), Ratio: r.NormFloat64(),
		// Not nil: that comes back as empty.
		Numbers: make([]int64, r.IntN(50)), Labels: map[string]string{}, Children: []nest{},
	}
	for i := range n.Numbers {
		n.Numbers[i] = int64(r.Uint64()) >> r.IntN(64)
	}
	for range r.IntN(10) {
		n.Labels[someText(r, 8)] = someText(r, r.IntN(40))
	}
	if depth > 0 {
		for range r.IntN(4) {
			n.Children = append(n.Children, someNest(r, depth-1))
		}
		if r.IntN(2) == 0 {
			only := someNest(r, depth-1)
			n.Only = &only
		}
	}
	return n
}

// mix is what gobehave computes.
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

const nilDereference = "runtime error: invalid memory address or nil pointer dereference"

// goLeft is how many goroutines of each kind a Go package may leave behind.
const goLeft = 4

// goRuntimes counts the executor's own and those of the Go packages.
const goRuntimes = 5

// Most calls are short, so that there are many; those that take milliseconds get
// about as much time in all.

// goTasks are the calls of a package made of gobehave.
func goTasks(pkg string) []stressTask {
	tasks := []stressTask{
		{"echo_bytes", 1500, 0, func(r *rand.Rand) stressCall {
			// As numbers, which byte slices are on the wire.
			b := someBytes(r, size(r))
			return stressCall{inputs: tasktest.Inputs(b), check: exactly(b)}
		}},
		{"echo_nest", 1000, 0, func(r *rand.Rand) stressCall {
			n := someNest(r, r.IntN(4))
			return stressCall{inputs: tasktest.Inputs(n, r.IntN(20) == 0), check: decoded(n)}
		}},
		{"fail", 1000, 0, func(r *rand.Rand) stressCall {
			text := someText(r, size(r))
			return stressCall{inputs: tasktest.Inputs(text), check: fails(tdl.ExecutionError, text)}
		}},
		{"now", 3000, 0, simple(number(func(n uint64) bool { return time.Since(time.Unix(0, int64(n))).Abs() < time.Hour }))},
		{"recover_nil_dereference", 2000, 0, simple(exactly(nilDereference))},
		{"recover_in_goroutine", 300, 0, simple(exactly(nilDereference))},
		{"deep_fault", 500, 0, func(r *rand.Rand) stressCall {
			depth := r.IntN(300)
			return stressCall{inputs: tasktest.Inputs(depth), check: exactly(depth+1, nilDereference)}
		}},
		{"panic_again", 500, 0, func(r *rand.Rand) stressCall {
			n := 1 + r.IntN(20)
			return stressCall{inputs: tasktest.Inputs(n), check: exactly(n + 1)}
		}},
		{"deep_stack", 100, 0, func(r *rand.Rand) stressCall {
			seed, kib := r.Uint64(), uint64(r.IntN(1000))
			want := uint64(1)
			for n := uint64(1); n <= kib; n++ {
				want += 2 * mix(seed+n)
				if n%120 == 0 || n%120 == 119 {
					want++
				}
			}
			return stressCall{inputs: tasktest.Inputs(seed, kib, r.IntN(4) == 0), check: exactly(want)}
		}},
		{"trees", 20, 0, func(r *rand.Rand) stressCall {
			seed, depth := r.Uint64(), 1+r.IntN(11)
			want := uint64(0)
			for i := uint64(1); i < 1<<depth; i++ {
				want += mix(seed + i)
			}
			return stressCall{inputs: tasktest.Inputs(seed, depth, 1+r.IntN(3)), check: exactly(want)}
		}},
		{"sync_pool", 300, 0, func(r *rand.Rand) stressCall {
			seed, n := r.Uint64(), r.IntN(30)
			want := uint64(0)
			for i := range n {
				want += mix(seed + uint64(i))
			}
			return stressCall{inputs: tasktest.Inputs(seed, n), check: exactly(want)}
		}},
		{"fan_out", 300, 0, func(r *rand.Rand) stressCall {
			n := r.IntN(300)
			return stressCall{inputs: tasktest.Inputs(1+r.IntN(8), n), check: exactly(max(0, n*(n-1)/2))}
		}},
		{"select_timers", 50, 0, func(r *rand.Rand) stressCall {
			n := r.IntN(20)
			return stressCall{inputs: tasktest.Inputs(n), check: exactly(n)}
		}},
		{"pipe", 300, 0, func(r *rand.Rand) stressCall {
			text := someText(r, size(r))
			return stressCall{inputs: tasktest.Inputs(text), check: exactly(text)}
		}},
		{"child", 10, 0, func(r *rand.Rand) stressCall {
			text := someText(r, size(r))
			return stressCall{inputs: tasktest.Inputs(text), check: exactly(text)}
		}},
		{"churn", 30, 0, func(r *rand.Rand) stressCall {
			n := 64 + r.IntN(1000)
			return stressCall{inputs: tasktest.Inputs(n), check: exactly(64 << 10)}
		}},
		{"sleep_us", 30, 0, func(r *rand.Rand) stressCall {
			return stressCall{inputs: tasktest.Inputs(r.IntN(2000)), check: nothing}
		}},
		{"gc_while_spinning", 20, 0, simple(nothing)},
		{"finalizers", 10, 0, func(r *rand.Rand) stressCall {
			n := r.IntN(30)
			return stressCall{inputs: tasktest.Inputs(n), check: exactly(n)}
		}},
		{"notify", 30, 0, simple(nothing)},
		{"free_memory", 3, 0, simple(nothing)},
		{"leave_goroutines", 10, goLeft, simple(nothing, 1)},
		{"leave_verifiers", 10, goLeft, simple(nothing, 1)},
	}
	for i := range tasks {
		tasks[i].name = pkg + "/" + tasks[i].name
	}
	return tasks
}

// logFile is a file for logsearch and what it has to find in it.
type logFile struct {
	path   string
	result logResult
}

type logResult struct {
	Lines, Bytes, Matched uint64
	First                 []logMatch
}

type logMatch struct {
	Number uint64
	Text   string
}

func makeLogFile(t *testing.T, r *rand.Rand) logFile {
	f := logFile{path: filepath.Join(t.TempDir(), "log")}
	f.result.First = []logMatch{}
	var b bytes.Buffer
	for range r.IntN(300) {
		line := strings.ReplaceAll(someText(r, r.IntN(200)), "!", "_")
		f.result.Lines++
		if r.IntN(10) == 0 {
			line += "!" + strconv.Itoa(r.IntN(1000))
			f.result.Matched++
			f.result.First = append(f.result.First, logMatch{f.result.Lines, line})
		}
		b.WriteString(line + "\n")
	}
	f.result.Bytes = uint64(b.Len())
	if err := os.WriteFile(f.path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return f
}

// otherTasks are the calls of the other Go packages, and of the executor's own Go
// code.
func (s *stress) otherTasks() []stressTask {
	return []stressTask{
		{"logsearch/search", 400, 0, func(r *rand.Rand) stressCall {
			f := s.logs[r.IntN(len(s.logs))]
			limit := r.IntN(20)
			want := f.result
			want.First = want.First[:min(limit, len(want.First))]
			return stressCall{inputs: tasktest.Inputs(f.path, `^[^!]*![0-9]+$`, limit), check: decoded(want)}
		}},
		{"integration_test_tasks/fibonacci", 2000, 0, func(r *rand.Rand) stressCall {
			n := r.IntN(18)
			a, b := uint64(0), uint64(1)
			for range n {
				a, b = b, a+b
			}
			return stressCall{inputs: tasktest.Inputs(n), check: exactly(a)}
		}},
		{"integration_test_tasks/sleep_and_echo", 500, 0, func(r *rand.Rand) stressCall {
			texts := make([]string, r.IntN(100))
			for i := range texts {
				texts[i] = someText(r, r.IntN(200))
			}
			return stressCall{inputs: tasktest.Inputs(texts), check: exactly(texts)}
		}},
		{"integration_test_tasks/recover_nil_dereference", 2000, 0, simple(exactly(nilDereference))},
		{"integration_test_tasks/always_fail", 1000, 0, simple(fails(tdl.ExecutionError, "always_fail: failed as it always does"))},
		{"integration_test_tasks/assert_initialized", 500, 0, simple(nothing)},
		{"integration_test_tasks/not_there", 500, 0, simple(func(out []byte, err error) error {
			if !errors.Is(err, tdl.TaskNotFound) {
				return fmt.Errorf("answered %x, %v", out, err)
			}
			return nil
		})},
		// Only what it refuses makes the executor itself allocate, and so collect.
		{"not_there/ok", 1000, 0, func(r *rand.Rand) stressCall {
			return stressCall{inputs: tasktest.Inputs(), check: refuses(pool.InvalidLibrary), pkg: "not_there" + strings.Repeat("x", size(r))}
		}},
		{"text_file/ok", 100, 0, simple(refuses(pool.InvalidLibrary))},
		{"wrong_major/ok", 100, 0, simple(refuses(pool.IncompatibleVersion))},
		{"undefined_symbol/ok", 20, 0, simple(refuses(pool.InvalidLibrary))},
	}
}

// cTasks are the calls of C packages.
func (s *stress) cTasks() []stressTask {
	// What a task prints comes out on stderr, each as one whole line.
	printing := func(end string) func(r *rand.Rand) stressCall {
		return func(r *rand.Rand) stressCall {
			text := fmt.Sprint("printed ", r.IntN(10))
			s.text[text]++
			return stressCall{inputs: tasktest.Inputs(text + end), check: nothing}
		}
	}
	// The signal is handled before raise returns. Only those that a Go runtime
	// ignores.
	raise := func(r *rand.Rand) stressCall {
		return stressCall{inputs: tasktest.Inputs(uint64(harmless[r.IntN(len(harmless))])), check: nothing}
	}
	tasks := []stressTask{
		{"echo", 3000, 0, func(r *rand.Rand) stressCall {
			b := someBytes(r, size(r))
			return stressCall{inputs: b, check: func(out []byte, err error) error {
				if err == nil && !bytes.Equal(out, b) {
					err = fmt.Errorf("answered %d bytes, want %d", len(out), len(b))
				}
				return err
			}}
		}},
		{"output_bytes", 1000, 0, func(r *rand.Rand) stressCall {
			const overhead = 13
			n := size(r)
			want := bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz"), n/26+1)[:n]
			return stressCall{inputs: tasktest.Inputs(n + overhead), check: decoded(string(want))}
		}},
		{"fail", 1000, 0, func(r *rand.Rand) stressCall {
			kind, text := tdl.Custom, someText(r, size(r))
			if r.IntN(2) == 0 {
				kind = tdl.ExecutionError
			}
			return stressCall{inputs: tasktest.Inputs(string(kind), text), check: fails(kind, text)}
		}},
		{"fail_garbage", 300, 0, simple(refuses(pool.ErrorPayloadDeserializationFailure))},
		{"catch_segv", 500, 0, func(r *rand.Rand) stressCall {
			n := 1 + r.IntN(5)
			return stressCall{inputs: tasktest.Inputs(n), check: exactly(n)}
		}},
		{"sigpipe_thread", 500, 0, simple(exactly(int(syscall.EPIPE)))},
		{"sleep_ms", 30, 0, func(r *rand.Rand) stressCall {
			return stressCall{inputs: tasktest.Inputs(r.IntN(3)), check: nothing}
		}},
		{"raise", 1000, 0, raise},
		{"kill_self", 1000, 0, raise},
		{"getpid", 1000, 0, simple(exactly(s.PID()))},
		{"last_thread_id", 500, 0, simple(exactly(s.PID()))},
		// A request that ran twice, or not at all, would show.
		{"count_calls", 500, 0, func(*rand.Rand) stressCall {
			n := 0
			for name, calls := range s.calls {
				if strings.HasPrefix(name, "misbehave/") {
					n += calls
				}
			}
			return stressCall{inputs: tasktest.Inputs(), check: exactly(n)}
		}},
		{"print_write", 100, 0, printing("\n")},
		{"print_stdio", 100, 0, printing("\n")},
		{"print_fork", 20, 0, printing("\n")},
		{"print_child", 10, 0, printing("")},
		{"print_system", 5, 0, printing("")},
		// Nobody waits for its child, so each leaves a zombie.
		{"fork_return", 20, 20, func(*rand.Rand) stressCall {
			s.text["a process that a task forked came back from the task; ended"]++
			return stressCall{inputs: tasktest.Inputs(), check: number(func(n uint64) bool { return n > 0 })}
		}},
	}
	for i := range tasks {
		tasks[i].name = "misbehave/" + tasks[i].name
	}
	return append(tasks,
		stressTask{"init_counts/init_calls", 100, 0, simple(exactly(1))},
		stressTask{"init_payload/ok", 100, 0, simple(nothing)},
	)
}

// harmless signals do nothing to a Go program.
var harmless = []syscall.Signal{syscall.SIGURG, syscall.SIGCHLD, syscall.SIGWINCH, syscall.SIGCONT}

// signaler sends signals to a process from outside.
type signaler struct {
	cancel context.CancelFunc
	done   chan struct{}
	sent   map[string]int // to be read when it has stopped
}

func startSignaler(t *testing.T, pid int, r *rand.Rand) *signaler {
	ctx, cancel := context.WithCancel(context.Background())
	s := &signaler{cancel: cancel, done: make(chan struct{}), sent: map[string]int{}}
	go func() {
		defer close(s.done)
		s.run(ctx, pid, r)
	}()
	// Before the process ends, after which its number may be another's.
	t.Cleanup(s.stop)
	return s
}

func (s *signaler) stop() {
	s.cancel()
	<-s.done
}

func (s *signaler) run(ctx context.Context, pid int, r *rand.Rand) {
	pause := func(most time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(r.Int64N(int64(most)))):
		}
	}
	for ctx.Err() == nil {
		signal := harmless[r.IntN(len(harmless))]
		switch r.IntN(50) {
		case 0:
			// Also when it is time to stop: it must not stay stopped.
			_ = syscall.Kill(pid, syscall.SIGSTOP)
			pause(3 * time.Millisecond)
			_ = syscall.Kill(pid, syscall.SIGCONT)
			s.sent["stop and continue"]++
		case 1, 2, 3, 4, 5:
			// As a terminal does, to what the tasks have forked too.
			_ = syscall.Kill(-pid, syscall.SIGWINCH)
			s.sent["to the group"]++
		case 6, 7, 8, 9, 10, 11, 12, 13, 14, 15:
			// As a Go runtime does, to any thread.
			if threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); err == nil && len(threads) > 0 {
				thread, _ := strconv.Atoi(threads[r.IntN(len(threads))].Name())
				_ = unix.Tgkill(pid, thread, signal)
				s.sent["to a thread"]++
			}
		default:
			_ = syscall.Kill(pid, signal)
			s.sent[signal.String()]++
		}
		pause(time.Millisecond)
	}
}
