package pool_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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

// TestSoak runs chaos for as long as SPIDER_SOAK says, such as 5m.
func TestSoak(t *testing.T) {
	text := os.Getenv("SPIDER_SOAK")
	if text == "" {
		t.Skip("SPIDER_SOAK is not set")
	}
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", runChaos(t, length))
}

// runChaos runs chaos in a process of its own, where every descriptor, thread,
// goroutine and child is chaos's, and returns its table.
func runChaos(t *testing.T, length time.Duration) string {
	t.Helper()
	used.Store("chaos", true)
	token := tokenFor(t)
	var out, stderr bytes.Buffer
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envBehaviour+"=chaos", builtEnv(t), token,
		envChaos+"="+length.String(), envScratch+"="+t.TempDir(), envToken+"="+token)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	for _, pid := range marked(token) {
		if sessionLeader(pid) {
			// Out of reach by its own doing; the pool does not claim to end it.
			_ = syscall.Kill(pid, syscall.SIGKILL)
			continue
		}
		t.Errorf("process %d is left", pid)
	}
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, &out, tailOf(stderr.String(), 8000))
	}
	return out.String()
}

func tailOf(s string, n int) string { return s[max(0, len(s)-n):] }

const (
	envChaos   = "SPIDER_POOL_TEST_CHAOS"
	envScratch = "SPIDER_POOL_TEST_SCRATCH"
	envToken   = "SPIDER_POOL_TEST_TOKEN_IS"
)

// turmoil is one run of chaos: pools, callers that know what each call must give, and
// what is done to the pools' processes meanwhile.
type turmoil struct {
	over  chan struct{}
	pools []*chaosPool

	mu       sync.Mutex
	killed   map[int]bool // processes that were killed, by pid
	stopped  map[int]bool // those that were stopped, or told to read no more
	left     map[int]bool // those that ended by themselves after an answer
	injected map[string]int
	failures []string
	peak     int // processes at once
}

type chaosPool struct {
	name string
	pool *pool.Pool

	mu       sync.Mutex
	outcomes map[string]int64
	calls    int64
	events   map[pool.EventKind]int64
}

// chaos is the program of the behaviour of that name.
func chaos() {
	length, err := time.ParseDuration(os.Getenv(envChaos))
	if err != nil {
		panic(err)
	}
	var built tasktest.Built
	if err := json.Unmarshal([]byte(os.Getenv(envBuilt)), &built); err != nil {
		panic(err)
	}
	// Once over, so that what the runtime keeps for good is there before.
	(&turmoil{}).run(built, min(length/4, 2*time.Second))
	before, heap, threads := resources(), heapInUse(), status("Threads:")

	var c turmoil
	half := c.run(built, length)

	var left []string
	if err := before.leaked(); err != "" {
		left = append(left, err)
	}
	heapNow, threadsNow := heapInUse(), status("Threads:")
	// Half way there were calls under way; what grows with the time does so by more.
	if grown := heapNow - heap; grown > 3<<20 {
		left = append(left, fmt.Sprintf("%d bytes of memory", grown))
	}
	// The runtime keeps threads that it once needed.
	if limit := max(half, threads) + 16; threadsNow > limit {
		left = append(left, fmt.Sprintf("%d threads, %d half way", threadsNow, half))
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		own := slices.DeleteFunc(marked(os.Getenv(envToken)), func(pid int) bool { return pid == os.Getpid() || sessionLeader(pid) })
		if len(own) == 0 {
			break
		}
		if time.Now().After(deadline) {
			left = append(left, fmt.Sprintf("processes %v", own))
			break
		}
	}

	fmt.Printf("%v of calls under faults\n", length)
	var calls int64
	outcomes := map[string]int64{}
	for _, p := range c.pools {
		calls += p.calls
		for k, n := range p.outcomes {
			outcomes[k] += n
		}
		fmt.Printf("  pool %-12s %8d calls: %s\n", p.name, p.calls, table(p.outcomes))
		fmt.Printf("  %17s events: %s\n", "", table(p.events))
	}
	fmt.Printf("calls             %d, %.0f a second\n", calls, float64(calls)/length.Seconds())
	fmt.Printf("outcomes          %s\n", table(outcomes))
	fmt.Printf("faults injected   %s\n", table(c.injected))
	fmt.Printf("peak processes    %d\n", c.peak)
	fmt.Printf("before and after  goroutines %d, %d; descriptors %d, %d; threads %d, %d half way, %d; heap %d kB, %d kB\n",
		before.goroutines, runtime.NumGoroutine(), before.files, len(openFiles()), threads, half, threadsNow, heap>>10, heapNow>>10)
	fmt.Printf("left behind       %d %v\n", len(left), left)
	fmt.Printf("wrong             %d\n", len(c.failures))
	for _, f := range c.failures[:min(len(c.failures), 30)] {
		fmt.Println("  " + f)
	}
	if len(left)+len(c.failures) > 0 {
		os.Exit(1)
	}
}

func table[K ~string, N int | int64](counts map[K]N) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", string(k), counts[k]))
	}
	return strings.Join(parts, ", ")
}

// heapInUse is this process's live memory.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // what finalizers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// status is a number in /proc/self/status.
func status(name string) int {
	text, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(text), "\n"+name)
	line, _, _ := strings.Cut(rest, "\n")
	n, _ := strconv.Atoi(strings.TrimSpace(line))
	return n
}

func sessionLeader(pid int) bool {
	sid, err := unix.Getsid(pid)
	return err == nil && sid == pid
}

func (c *turmoil) wrong(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failures = append(c.failures, fmt.Sprintf(format, args...))
}

func (c *turmoil) fault(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.injected[name]++
}

// quick is the limit of calls that take no time. Only what was stopped may exceed it.
const quick = 3 * time.Second

// run lets everything loose for this long, ends it, and returns how many threads
// there were half way.
func (c *turmoil) run(built tasktest.Built, length time.Duration) (threads int) {
	c.over = make(chan struct{})
	c.killed, c.stopped, c.left, c.injected = map[int]bool{}, map[int]bool{}, map[int]bool{}, map[string]int{}
	scratch, err := os.MkdirTemp(os.Getenv(envScratch), "")
	if err != nil {
		panic(err)
	}
	libraries, odd := filepath.Join(scratch, "libraries"), filepath.Join(scratch, "odd")
	if err := os.CopyFS(libraries, os.DirFS(built.Packages)); err != nil {
		panic(err)
	}
	misbehave, err := os.ReadFile(filepath.Join(libraries, "misbehave", "libmisbehave.so"))
	if err != nil {
		panic(err)
	}
	base := pool.Config{
		Timeout: quick, StartTimeout: quick, LoadTimeout: quick, Executors: 3,
		MaxTasks: 300, MaxAge: 2 * time.Second, MaxGrowth: 48 << 20, SoftTimeout: time.Second,
	}
	inLibraries, inPrograms, inOdd := base, base, base
	inLibraries.Executor, inLibraries.PackageDir = built.Executor, libraries
	inLibraries.Preload = []string{"misbehave", "init_crashes"}
	inPrograms.PackageDir, inPrograms.Executors = built.SelfHosted, 2
	oddConfig(&inOdd, odd)
	c.add("libraries", inLibraries)
	c.add("programs", inPrograms)
	c.add("odd", inOdd)

	var callers, harm sync.WaitGroup
	for i, p := range c.pools {
		actions := [][]action{inLibrary, inProgram, inOddities}[i]
		for range []int{6, 4, 5}[i] {
			callers.Go(func() { c.call(p, actions) })
		}
	}
	ended := make(chan struct{})
	harm.Go(func() { c.harm(ended) })
	harm.Go(func() {
		for pause(ended, 20*time.Millisecond, 200*time.Millisecond) {
			stage(libraries, "misbehave", misbehave)
			c.fault("package replaced")
		}
	})
	harm.Go(func() {
		for pause(ended, 5*time.Millisecond, 10*time.Millisecond) {
			n := 0
			for _, p := range c.pools {
				n += len(p.pool.Stats().Executors)
			}
			c.mu.Lock()
			c.peak = max(c.peak, n)
			c.mu.Unlock()
		}
	})

	harm.Go(func() {
		for pause(ended, 20*time.Millisecond, 100*time.Millisecond) {
			c.briefly(inLibraries)
		}
	})

	time.Sleep(length / 2)
	threads = status("Threads:")
	time.Sleep(length / 2)
	close(c.over)
	finished := make(chan struct{})
	go func() { callers.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-time.After(2 * patience):
		var stacks bytes.Buffer
		buf := make([]byte, 1<<20)
		stacks.Write(buf[:runtime.Stack(buf, true)])
		fmt.Fprintf(os.Stderr, "calls hang\n%s", &stacks)
		os.Exit(3)
	}
	close(ended)
	harm.Wait()
	for _, p := range c.pools {
		c.settle(p)
	}
	return threads
}

// pause waits for a time between the two, and reports whether it is not over.
func pause(over <-chan struct{}, from, to time.Duration) bool {
	select {
	case <-over:
		return false
	case <-time.After(from + rand.N(to-from)):
		return true
	}
}

func (c *turmoil) add(name string, cfg pool.Config) {
	p := &chaosPool{name: name, outcomes: map[string]int64{}, events: map[pool.EventKind]int64{}}
	cfg.Observer = pool.ObserverFunc(func(e pool.Event) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.events[e.Kind]++
	})
	var err error
	if p.pool, err = pool.New(cfg); err != nil {
		panic(err)
	}
	c.pools = append(c.pools, p)
}

// briefly has a pool that is closed at any moment: its calls succeed, or say that it
// was closed.
func (c *turmoil) briefly(cfg pool.Config) {
	p, err := pool.New(cfg)
	if err != nil {
		panic(err)
	}
	var calls sync.WaitGroup
	for range 5 { // more than there are processes
		calls.Go(func() {
			for range 20 {
				inputs := someText()
				r, err := p.Execute(context.Background(), pool.Request{Package: "misbehave", Task: "echo", Inputs: inputs})
				var crash *pool.CrashError
				switch {
				case err == nil && bytes.Equal(r.Outputs, inputs):
					continue
				case err == pool.ErrClosed:
				case errors.As(err, &crash) && strings.Contains(crash.Exit.Killed, "closed"):
				default:
					c.wrong("brief pool: %d bytes, %v", len(r.Outputs), err)
				}
				return
			}
		})
	}
	time.Sleep(rand.N(10 * time.Millisecond))
	ctx, cancel := context.WithTimeout(context.Background(), rand.N(10*time.Millisecond))
	defer cancel()
	began := time.Now()
	if err := p.Close(ctx); err != nil && err != context.DeadlineExceeded {
		c.wrong("brief pool: close: %v", err)
	}
	if took := time.Since(began); took > quick {
		c.wrong("brief pool: close took %v", took)
	}
	calls.Wait()
	if s := p.Stats(); len(s.Executors) != 0 || s.Running+s.Waiting != 0 {
		c.wrong("brief pool: %+v", s)
	}
	c.fault("pool closed under calls")
}

// settle closes a pool and checks that its numbers add up.
func (c *turmoil) settle(p *chaosPool) {
	if s := p.pool.Stats(); s.Running != 0 || s.Waiting != 0 {
		c.wrong("%s: no call is left, but %d run and %d wait", p.name, s.Running, s.Waiting)
	}
	closed := make(chan error, 1)
	go func() { closed <- p.pool.Close(context.Background()) }()
	select {
	case err := <-closed:
		if err != nil {
			c.wrong("%s: close: %v", p.name, err)
		}
	case <-time.After(patience):
		c.wrong("%s: close hangs", p.name)
		return
	}
	if _, err := p.pool.Execute(context.Background(), pool.Request{Package: "p", Task: "echo"}); err != pool.ErrClosed {
		c.wrong("%s: after close: %v", p.name, err)
	}
	s := p.pool.Stats()
	for name, n := range map[string]int64{
		"succeeded": s.Succeeded, "failed": s.Failed, "timed out": s.TimedOut, "crashed": s.Crashed, "canceled": s.Canceled,
		"protocol": s.ProtocolErrors, "too large": s.TooLarge, "not started": s.NotStarted - 1,
	} {
		if n != p.outcomes[name] {
			c.wrong("%s: %d calls have %s, the pool says %d", p.name, p.outcomes[name], name, n)
		}
	}
	if s.Calls()-1 != p.calls || len(s.Executors) != 0 || s.Starting != 0 {
		c.wrong("%s: %d calls; %+v", p.name, p.calls, s)
	}
	// Each executor that came up has one end.
	ends := p.events[pool.EventRecycled] + p.events[pool.EventCrashed] + p.events[pool.EventTimedOut] + p.events[pool.EventCanceled]
	if spawned := p.events[pool.EventSpawned]; spawned != s.Spawned || spawned != ends {
		c.wrong("%s: %d executors came up, the pool says %d; %d ended", p.name, spawned, s.Spawned, ends)
	}
}

// harm kills and stops processes of the pools at random moments.
func (c *turmoil) harm(over <-chan struct{}) {
	var lastStop time.Time
	for pause(over, 2*time.Millisecond, 40*time.Millisecond) {
		p := c.pools[rand.IntN(len(c.pools))]
		all := p.pool.Stats().Executors
		if len(all) == 0 {
			continue
		}
		victim := all[rand.IntN(len(all))]
		fd, err := unix.PidfdOpen(victim.PID, 0)
		if err != nil {
			continue
		}
		send := func(sig unix.Signal) { _ = unix.PidfdSendSignal(fd, sig, nil, 0) }
		// The number may be somebody else's by now.
		switch n := rand.IntN(10); {
		case parentOf(victim.PID) != os.Getpid():
		case n < 6:
			c.note(c.killed, victim.PID)
			send(unix.SIGKILL)
			c.fault("killed while " + victim.State)
		case n < 9:
			c.note(c.stopped, victim.PID)
			send(unix.SIGSTOP)
			pause(over, 0, 20*time.Millisecond)
			send(unix.SIGCONT)
			c.fault("stopped for a while")
		case time.Since(lastStop) > quick/4:
			lastStop = time.Now()
			c.note(c.stopped, victim.PID)
			send(unix.SIGSTOP)
			c.fault("stopped while " + victim.State)
		}
		unix.Close(fd)
	}
}

func (c *turmoil) note(in map[int]bool, pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in[pid] = true
}

// noted waits a moment: who notes may be another caller, who has just got an answer.
func (c *turmoil) noted(in map[int]bool, pid int) bool {
	for range 100 {
		c.mu.Lock()
		is := in[pid]
		c.mu.Unlock()
		if is {
			return true
		}
		time.Sleep(10 * time.Millisecond)
	}
	return false
}

func parentOf(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// action is a kind of call, and what must come of it.
type action struct {
	weight int
	pkg    string
	task   string
	limit  time.Duration // 0: quick
	inputs func() []byte
	right  func(c *turmoil, inputs []byte, r pool.Result, err error) bool
}

// call makes calls until it is over.
func (c *turmoil) call(p *chaosPool, actions []action) {
	total := 0
	for _, a := range actions {
		total += a.weight
	}
	for {
		select {
		case <-c.over:
			return
		default:
		}
		n := rand.IntN(total)
		i := 0
		for ; n >= actions[i].weight; i++ {
			n -= actions[i].weight
		}
		c.make(p, &actions[i])
	}
}

// make makes one call, and judges what comes of it.
func (c *turmoil) make(p *chaosPool, a *action) {
	var inputs []byte
	if a.inputs != nil {
		inputs = a.inputs()
	} else {
		inputs = tasktest.Inputs()
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch rand.IntN(20) {
	case 0:
		c.fault("canceled within 2 ms")
		time.AfterFunc(rand.N(2*time.Millisecond), cancel)
	case 1:
		if rand.IntN(3) == 0 {
			c.fault("canceled before")
			cancel()
		}
	case 2:
		if rand.IntN(3) == 0 {
			c.fault("canceled within 100 ms")
			time.AfterFunc(rand.N(100*time.Millisecond), cancel)
		}
	}
	if a.weight < ordinary {
		c.fault(a.pkg + " " + a.task)
	}
	began := time.Now()
	r, err := p.pool.Execute(ctx, pool.Request{Package: a.pkg, Task: a.task, Inputs: inputs, Timeout: a.limit})
	took := time.Since(began)
	name := outcomeName(err)
	p.mu.Lock()
	p.calls++
	p.outcomes[name]++
	p.mu.Unlock()
	switch {
	case took > patience:
		c.wrong("%s: %s %s took %v", p.name, a.pkg, a.task, took)
	case a.right(c, inputs, r, err):
	case name == "canceled" && ctx.Err() != nil:
	case err != nil && c.excused(err):
	default:
		c.wrong("%s: %s %s after %v: %d bytes, %T: %v", p.name, a.pkg, a.task, took, len(r.Outputs), err, err)
	}
}

func outcomeName(err error) string {
	var (
		answered *pool.ExecutorError
		timeout  *pool.TimeoutError
		crash    *pool.CrashError
		canceled *pool.CanceledError
		protocol *pool.ProtocolError
		tooLarge *pool.TooLargeError
		spawn    *pool.SpawnError
		broken   *pool.BreakerError
	)
	switch {
	case err == nil:
		return "succeeded"
	case errors.As(err, &spawn), errors.As(err, &broken):
		return "not started"
	case errors.As(err, &answered):
		return "failed"
	case errors.As(err, &timeout):
		return "timed out"
	case errors.As(err, &canceled):
		return "canceled"
	case errors.As(err, &protocol):
		return "protocol"
	case errors.As(err, &tooLarge):
		return "too large"
	case errors.As(err, &crash):
		return "crashed"
	}
	return "unknown"
}

// lost is what became of the process that err is about, also if it was not the call's.
func lost(err error) error {
	var (
		spawn  *pool.SpawnError
		broken *pool.BreakerError
	)
	if errors.As(err, &broken) {
		err = broken.Err
	}
	if errors.As(err, &spawn) {
		err = spawn.Err
	}
	return err
}

// excused reports whether what was done to the process explains err.
func (c *turmoil) excused(err error) bool {
	err = lost(err)
	var crash *pool.CrashError
	var timeout *pool.TimeoutError
	switch {
	case errors.As(err, &crash):
		if crash.Exit.Signal == 0 && crash.Exit.Code == 0 {
			return c.noted(c.left, crash.Exit.PID)
		}
		return crash.Exit.Signal == syscall.SIGKILL && crash.Exit.Killed == "" && c.noted(c.killed, crash.Exit.PID)
	case errors.As(err, &timeout):
		return c.noted(c.stopped, timeout.Exit.PID) && timeout.Limit == quick
	}
	return false
}

// ordinary is the least weight of what is no fault.
const ordinary = 10

// What must come of a call.
type judge = func(c *turmoil, inputs []byte, r pool.Result, err error) bool

func echoes(_ *turmoil, inputs []byte, r pool.Result, err error) bool {
	return err == nil && bytes.Equal(r.Outputs, inputs)
}

func fine(_ *turmoil, _ []byte, _ pool.Result, err error) bool { return err == nil }

func dies(code int, signal syscall.Signal) judge {
	return func(_ *turmoil, _ []byte, _ pool.Result, err error) bool {
		var crash *pool.CrashError
		return errors.As(err, &crash) && outcomeName(err) == "crashed" && crash.Exit.Code == code && crash.Exit.Signal == signal &&
			crash.Exit.Killed == "" && crash.Phase == pool.PhaseRun
	}
}

func hangs(_ *turmoil, _ []byte, _ pool.Result, err error) bool {
	var timeout *pool.TimeoutError
	return errors.As(err, &timeout) && outcomeName(err) == "timed out" && timeout.Limit < quick
}

// hasten allows for a limit that is over before a process has loaded the package.
func hasten(j judge) judge {
	return func(c *turmoil, inputs []byte, r pool.Result, err error) bool {
		return j(c, inputs, r, err) || hangs(c, inputs, r, err)
	}
}

func damages(_ *turmoil, _ []byte, _ pool.Result, err error) bool {
	return outcomeName(err) == "protocol"
}

func closedIt(_ *turmoil, _ []byte, _ pool.Result, err error) bool {
	var crash *pool.CrashError
	return errors.As(err, &crash) && strings.Contains(crash.Exit.Killed, "closed its end")
}

func fails(kind pool.ErrorKind) judge {
	return func(_ *turmoil, _ []byte, _ pool.Result, err error) bool {
		var answered *pool.ExecutorError
		return errors.As(err, &answered) && outcomeName(err) == "failed" && answered.Kind == kind
	}
}

// diesLoading allows for its breaker, which must be about a death of its own.
func diesLoading(_ *turmoil, _ []byte, _ pool.Result, err error) bool {
	var crash *pool.CrashError
	return errors.As(lost(err), &crash) && crash.Exit.Signal == syscall.SIGSEGV && crash.Phase == pool.PhaseLoad
}

// noting notes the process that answered its number: it will be no good for others,
// which cannot be seen yet.
func noting(in func(c *turmoil) map[int]bool) judge {
	return func(c *turmoil, _ []byte, r pool.Result, err error) bool {
		pid, conversion := strconv.Atoi(string(r.Outputs))
		if err != nil || conversion != nil {
			return false
		}
		c.note(in(c), pid)
		return true
	}
}

func numberIs(want func(inputs []byte) int64) judge {
	return func(_ *turmoil, inputs []byte, r pool.Result, err error) bool {
		var got int64
		return err == nil && tdl.DecodeValues(r.Outputs, &got) == nil && got == want(inputs)
	}
}

func values(args func() []any) func() []byte {
	return func() []byte { return tasktest.Inputs(args()...) }
}

func one(arg any) func() []byte { return values(func() []any { return []any{arg} }) }

// someText is the inputs of an echo: no other call has the same.
func someText() []byte {
	return tasktest.Inputs(fmt.Sprint(rand.Uint64(), strings.Repeat("y", rand.IntN(300))))
}

func muchText() []byte {
	return tasktest.Inputs(fmt.Sprint(rand.Uint64(), strings.Repeat("z", 1<<20+rand.IntN(2<<20))))
}

func sameNumber(inputs []byte) (n int64) {
	_ = tdl.DecodeValues(inputs, &n)
	return n
}

const soon = 40 * time.Millisecond

var inLibrary = []action{
	{weight: 300, pkg: "misbehave", task: "echo", inputs: someText, right: echoes},
	{weight: 10, pkg: "misbehave", task: "echo", inputs: muchText, right: echoes},
	{weight: 60, pkg: "gorecover", task: "fine", inputs: func() []byte { return tasktest.Inputs(rand.Int64()) }, right: numberIs(sameNumber)},
	{weight: 30, pkg: "integration_test_tasks", task: "fibonacci", inputs: one(12), right: numberIs(func([]byte) int64 { return 144 })},
	{weight: 20, pkg: "gorecover", task: "panic_text", inputs: one("x"), right: fails(pool.TaskError)},
	{weight: 10, pkg: "misbehave", task: "sleep_ms", inputs: values(func() []any { return []any{rand.IntN(5)} }), right: fine},
	{weight: 3, pkg: "misbehave", task: "segv", right: dies(-1, syscall.SIGSEGV)},
	{weight: 3, pkg: "misbehave", task: "abort", right: dies(-1, syscall.SIGABRT)},
	{weight: 3, pkg: "misbehave", task: "exit", inputs: one(0), right: dies(0, 0)},
	{weight: 3, pkg: "misbehave", task: "_exit", inputs: one(0), right: dies(0, 0)},
	{weight: 3, pkg: "misbehave", task: "exit_in_thread", right: dies(7, 0)},
	{weight: 3, pkg: "misbehave", task: "kill_self", inputs: one(9), right: dies(-1, syscall.SIGKILL)},
	{weight: 3, pkg: "misbehave", task: "endless_loop", limit: soon, right: hangs},
	{weight: 3, pkg: "misbehave", task: "block_forever", limit: soon, right: hangs},
	{weight: 3, pkg: "misbehave", task: "fork_hold_endless", limit: soon, right: hangs},
	{weight: 3, pkg: "misbehave", task: "echo", limit: time.Millisecond, inputs: muchText, right: hasten(echoes)},
	{weight: 3, pkg: "misbehave", task: "fork_sleep", inputs: one(600_000), right: fine},
	{weight: 3, pkg: "misbehave", task: "fork_exec_sleep", inputs: one(600), right: fine},
	{weight: 2, pkg: "misbehave", task: "fork_setsid_sleep", inputs: one(5_000), right: fine},
	{weight: 3, pkg: "misbehave", task: "print_stderr_lines", inputs: one(3000), right: fine},
	{weight: 3, pkg: "misbehave", task: "close_stderr", right: fine},
	{weight: 3, pkg: "misbehave", task: "alloc_mb", inputs: one(30), right: fine},
	{weight: 3, pkg: "init_crashes", task: "ok", right: diesLoading},
	{weight: 3, pkg: "constructor_crashes", task: "ok", right: diesLoading},
	{weight: 3, pkg: "init_hangs", task: "ok", limit: soon, right: hangs},
	{weight: 3, pkg: "init_fails", task: "ok", right: fails(pool.PackageInitError)},
	{weight: 3, pkg: "text_file", task: "ok", right: fails(pool.InvalidLibrary)},
	{weight: 3, pkg: "nowhere", task: "ok", right: fails(pool.InvalidLibrary)},
	{weight: 3, pkg: "misbehave", task: "\xff", right: fails(pool.InvalidUtf8)},
	{weight: 3, pkg: "misbehave", task: "echo", inputs: func() []byte { return make([]byte, 9<<20) }, right: func(_ *turmoil, _ []byte, _ pool.Result, err error) bool {
		return outcomeName(err) == "too large"
	}},
}

var inProgram = []action{
	{weight: 200, pkg: "gorecover", task: "fine", inputs: func() []byte { return tasktest.Inputs(rand.Int64()) }, right: numberIs(sameNumber)},
	{weight: 40, pkg: "gobehave", task: "churn", inputs: one(100), right: fine},
	{weight: 10, pkg: "gobehave2", task: "now", right: fine},
	{weight: 10, pkg: "integration_test_tasks", task: "fibonacci", inputs: one(12), right: numberIs(func([]byte) int64 { return 144 })},
	{weight: 20, pkg: "gorecover", task: "panic_text", inputs: one("x"), right: fails(pool.TaskError)},
	{weight: 3, pkg: "gorecover", task: "exit", inputs: one(0), right: dies(0, 0)},
	{weight: 3, pkg: "gorecover", task: "panic_in_goroutine", right: dies(-1, syscall.SIGABRT)},
	{weight: 3, pkg: "gobehave", task: "nil_dereference", right: dies(-1, syscall.SIGABRT)},
	{weight: 3, pkg: "gorecover", task: "spin", limit: soon, right: hangs},
	{weight: 3, pkg: "gorecover", task: "start_child", right: fine},
	{weight: 3, pkg: "gobehave", task: "leave_goroutines", inputs: one(3), right: fine},
	{weight: 3, pkg: "gobehave", task: "print_stderr", inputs: one("no line end"), right: fine},
}

var inOddities = []action{
	{weight: 300, pkg: "p", task: "echo", inputs: someText, right: echoes},
	{weight: 10, pkg: "p", task: "echo", inputs: muchText, right: echoes},
	{weight: 20, pkg: "p", task: "fail TaskError", right: fails(pool.TaskError)},
	{weight: 3, pkg: "p", task: "exit: 0", right: dies(0, 0)},
	{weight: 3, pkg: "p", task: "exit: 3", inputs: muchText, right: dies(3, 0)},
	{weight: 3, pkg: "p", task: "kill", right: dies(-1, syscall.SIGKILL)},
	{weight: 3, pkg: "p", task: "text", right: damages},
	{weight: 3, pkg: "p", task: "half an answer", limit: soon, right: hangs},
	{weight: 3, pkg: "p", task: "half an answer and exit", right: dies(0, 0)},
	{weight: 3, pkg: "p", task: "hang", limit: soon, right: hangs},
	{weight: 3, pkg: "p", task: "stop", limit: soon, right: hangs},
	{weight: 3, pkg: "p", task: "close stdout", limit: soon, right: hasten(closedIt)},
	{weight: 3, pkg: "p", task: "two answers", inputs: someText, right: echoes},
	{weight: 3, pkg: "p", task: "answer and exit", right: noting(func(c *turmoil) map[int]bool { return c.left })},
	{weight: 1, pkg: "p", task: "answer and stop reading", right: noting(func(c *turmoil) map[int]bool { return c.stopped })},
	{weight: 3, pkg: "p", task: "flood", inputs: someText, right: echoes},
	{weight: 3, pkg: "p", task: "line without end", inputs: someText, right: echoes},
	{weight: 3, pkg: "p", task: "fork", right: fine},
	{weight: 2, pkg: "p", task: "fork setsid", right: fine},
}
