// Gobehave is a Go package with the bad behaviour that only Go code can have. It
// is built twice, under two names, to have two Go runtimes in one process.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spider-go/spider/tdl"
	_ "github.com/spider-go/spider/tdl/cshared"
)

// name is set by the linker for the second build.
var name = "gobehave"

func init() {
	tdl.Register(tdl.Package{
		Name: name,
		Tasks: []tdl.Task{
			tdl.Func("gc_while_spinning", gcWhileSpinning),
			tdl.Func("stack_overflow", func() (int, error) { return overflow(0), nil }),
			tdl.Func("nil_dereference", func() (int, error) { return *hidden, nil }),
			tdl.Func("recover_nil_dereference", recoverNilDereference),
			tdl.Func("recover_in_goroutine", recoverInGoroutine),
			tdl.Func("panic_in_goroutine", panicInGoroutine),
			tdl.Func("exit", func(code int) error { os.Exit(code); return nil }),
			tdl.Func("print_stderr", func(s string) error { fmt.Fprint(os.Stderr, s); return nil }),
			tdl.Func("print_stdout", func(s string) error { fmt.Print(s); return nil }),
			tdl.Func("churn", churn),
			tdl.Func("leave_goroutines", leaveGoroutines),
			tdl.Func("now", func() (int64, error) { return time.Now().UnixNano(), nil }),
			tdl.Func("stats", stats, tdl.Doc("Answers how many collections there were, and how many goroutines there are.")),
			tdl.Func("free_memory", func() error { debug.FreeOSMemory(); return nil }),
			tdl.Func("leave_verifiers", leaveVerifiers),
			tdl.Func("echo_bytes", func(b []byte) ([]byte, error) { return b, nil }),
			tdl.Func("echo_nest", echoNest),
			tdl.Func("fail", func(text string) error { return errors.New(text) }),
			tdl.Func("trees", trees),
			tdl.Func("deep_stack", deepStack),
			tdl.Func("deep_fault", deepFault),
			tdl.Func("panic_again", panicAgain),
			tdl.Func("finalizers", finalizers),
			tdl.Func("sync_pool", syncPool),
			tdl.Func("fan_out", fanOut),
			tdl.Func("select_timers", selectTimers),
			tdl.Func("sleep_us", func(us int64) error { time.Sleep(time.Duration(us) * time.Microsecond); return nil }),
			tdl.Func("pipe", throughPipe),
			tdl.Func("child", throughChild),
			tdl.Func("notify", notify),
		},
	})
}

func main() { tdl.Main() }

// hidden is nil, but the compiler cannot know.
var hidden *int

// gcWhileSpinning collects garbage while a goroutine runs a loop without a call
// in it, which only SIGURG can stop. Where this runtime's SIGURG is lost, the
// collection waits for the loop, the loop for the collection, and the task never
// answers.
func gcWhileSpinning() error {
	var started, done atomic.Bool
	go func() {
		started.Store(true)
		for !done.Load() {
		}
	}()
	for !started.Load() {
		runtime.Gosched()
	}
	runtime.GC()
	done.Store(true)
	return nil
}

// overflow recurses until the stack is used up: n wraps around long after that.
//
//go:noinline
func overflow(n int) int {
	if n < 0 {
		return 0
	}
	var frame [512]byte
	frame[n%len(frame)] = byte(n)
	return overflow(n+1) + int(frame[(n+1)%len(frame)])
}

func recoverNilDereference() (text string, err error) {
	defer func() {
		if p, ok := recover().(error); ok {
			text = p.Error()
		}
	}()
	return "", fmt.Errorf("read %d through a nil pointer", *hidden)
}

// recoverInGoroutine does the same on a thread that the executor did not start.
func recoverInGoroutine() (string, error) {
	result := make(chan string)
	go func() {
		runtime.LockOSThread()
		text, _ := recoverNilDereference()
		result <- text
	}()
	return <-result, nil
}

func panicInGoroutine() error {
	go panic("panic in a goroutine")
	select {}
}

// churn makes garbage: n times a slice of a kilobyte, with a collection at the end.
func churn(n int) (total int, err error) {
	var keep [64][]byte
	for i := range n {
		keep[i%len(keep)] = make([]byte, 1024)
	}
	runtime.GC()
	for _, b := range keep {
		total += len(b)
	}
	return total, nil
}

// leaveGoroutines starts goroutines that outlive the task, and wake up often.
func leaveGoroutines(n int) error {
	for range n {
		go func() {
			for range time.Tick(time.Millisecond) {
				_ = make([]byte, 128)
			}
		}()
	}
	return nil
}

// stats answers how often garbage was collected and how many goroutines there are.
func stats() (collections uint32, goroutines int, err error) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NumGC, runtime.NumGoroutine(), nil
}

// mix spreads n over 64 bits, so that a value that is not where it belongs shows.
// Tests compute the same.
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// tree is all pointers: what a collection that misses one of them breaks.
type tree struct {
	left, right *tree
	value       *uint64
	text        string
	byName      map[string]*tree
}

func grown(seed, i uint64, depth int) *tree {
	value := mix(seed + i)
	t := &tree{value: &value, text: strconv.FormatUint(value, 36)}
	if depth > 1 {
		t.left, t.right = grown(seed, 2*i, depth-1), grown(seed, 2*i+1, depth-1)
		t.byName = map[string]*tree{t.left.text: t.left, t.right.text: t.right}
	}
	return t
}

// sum is the sum of all values, after a look at each way to reach them.
func (t *tree) sum() (uint64, error) {
	if t == nil {
		return 0, nil
	}
	if want := strconv.FormatUint(*t.value, 36); t.text != want {
		return 0, fmt.Errorf("damaged heap: a node of %s has the text %q", want, t.text)
	}
	for _, below := range []*tree{t.left, t.right} {
		if below != nil && t.byName[below.text] != below {
			return 0, fmt.Errorf("damaged heap: the map of node %s leads elsewhere", t.text)
		}
	}
	left, err := t.left.sum()
	if err != nil {
		return 0, err
	}
	right, err := t.right.sum()
	return *t.value + left + right, err
}

// trees builds a tree of 2^depth-1 nodes, and looks at all of it after each of some
// collections, with other trees growing and falling meanwhile.
func trees(seed uint64, depth, rounds int) (sum uint64, err error) {
	t := grown(seed, 1, depth)
	for i := range rounds {
		stop := make(chan struct{})
		var garbage sync.WaitGroup
		garbage.Go(func() {
			for n := uint64(0); ; n++ {
				grown(seed+n, 1, 4)
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		// Moved to other nodes while the collector marks.
		t.left, t.right = t.right, t.left
		runtime.GC()
		close(stop)
		garbage.Wait()
		if sum, err = t.sum(); err != nil {
			return 0, fmt.Errorf("after collection %d: %w", i, err)
		}
	}
	return sum, nil
}

// leaveVerifiers starts goroutines that outlive the task, wake up often, make
// garbage, and end the process if one of the trees they keep is not what it was.
func leaveVerifiers(n int) error {
	for i := range n {
		go func() {
			const depth = 5
			var ring [16]*tree
			var sums [len(ring)]uint64
			seed := uint64(i) << 32
			for range time.Tick(time.Millisecond) {
				at := seed % uint64(len(ring))
				if sum, err := ring[at].sum(); err != nil || sum != sums[at] {
					panic(fmt.Sprintf("damaged heap: sum %x, want %x, %v", sum, sums[at], err))
				}
				seed++
				ring[at] = grown(seed, 1, depth)
				sums[at], _ = ring[at].sum()
			}
		}()
	}
	return nil
}

// Nest has pointers of every kind that a value on the wire can have.
type Nest struct {
	Name     string
	Numbers  []int64
	Ratio    float64
	Labels   map[string]string
	Children []Nest
	Only     *Nest
}

// echoNest answers what it got, from another goroutine and after a collection
// that nothing but the value itself has survived.
func echoNest(n Nest, collect bool) (Nest, error) {
	back := make(chan Nest)
	go func() {
		if collect {
			runtime.GC()
		}
		back <- n
	}()
	return <-back, nil
}

// deepStack recurses through a stack of about so many KiB, which grows by being
// copied, with pointers into itself; a collection afterwards lets it shrink.
func deepStack(seed uint64, kib int, collect bool) (uint64, error) {
	var top uint64
	sum := descend(seed, uint64(kib), &top, collect)
	if collect {
		runtime.GC()
	}
	return sum + top, nil
}

// descend adds 1 to what above points to, which is in the caller's frame.
//
//go:noinline
func descend(seed, n uint64, above *uint64, collect bool) (sum uint64) {
	*above++
	if n == 0 {
		if collect {
			runtime.GC()
		}
		return 0
	}
	var frame [120]uint64
	for i := range frame {
		frame[i] = mix(seed + n)
	}
	sum = descend(seed, n-1, &frame[n%uint64(len(frame))], collect)
	for i, value := range frame {
		if uint64(i) == n%uint64(len(frame)) {
			value--
		}
		if value != mix(seed+n) {
			panic(fmt.Sprintf("damaged stack: %x in frame %d at %d", value, n, i))
		}
	}
	return sum + frame[0] + frame[len(frame)-1]
}

// deepFault dereferences nil under so many calls, each with a deferred one. It
// answers how many of these ran, and what the panic said.
func deepFault(depth int) (unwound int, text string, err error) {
	defer func() {
		if p, ok := recover().(error); ok {
			text = p.Error()
		}
	}()
	fall(depth, &unwound)
	return unwound, "", nil
}

//go:noinline
func fall(depth int, unwound *int) int {
	defer func() { *unwound++ }()
	if depth == 0 {
		return *hidden
	}
	return fall(depth-1, unwound) + 1
}

// panicAgain panics n times, each time in what is deferred because of the panic
// before, and answers how many it recovered from.
func panicAgain(n int) (recovered int, err error) {
	defer func() {
		if recover() != nil {
			recovered++
		}
	}()
	for range n {
		defer func() {
			if recover() != nil {
				recovered++
			}
			panic("again")
		}()
	}
	if n > 0 {
		panic("first")
	}
	return recovered, nil
}

// finalizers drops n objects with a finalizer or a cleanup, and collects garbage
// until each of them ran.
func finalizers(n int) (ran int, err error) {
	done := make(chan struct{}, n)
	leaveToFinalize(n, done)
	runtime.GC()
	for ran < n {
		select {
		case <-done:
			ran++
		case <-time.After(time.Millisecond):
			runtime.GC()
		}
	}
	return ran, nil
}

//go:noinline
func leaveToFinalize(n int, done chan<- struct{}) {
	for i := range n {
		t := grown(uint64(i), 1, 2)
		if i%2 == 0 {
			runtime.SetFinalizer(t, func(*tree) { done <- struct{}{} })
		} else {
			runtime.AddCleanup(t, func(int) { done <- struct{}{} }, i)
		}
	}
}

var buffers = sync.Pool{New: func() any { return new([512]uint64) }}

// syncPool has n goroutines share buffers that collections take away. It answers
// the sum of what each read again of what it wrote.
func syncPool(seed uint64, n int) (uint64, error) {
	var total atomic.Uint64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			b := buffers.Get().(*[512]uint64)
			for j := range b {
				b[j] = mix(seed + uint64(i))
			}
			runtime.Gosched()
			total.Add(b[i%len(b)])
			buffers.Put(b)
		})
	}
	wg.Wait()
	return total.Load(), nil
}

// fanOut sends the numbers below n through goroutines and back.
func fanOut(goroutines, n int) (sum int, err error) {
	in, out := make(chan int), make(chan int)
	for range goroutines {
		go func() {
			subtotal := 0
			for i := range in {
				subtotal += i
			}
			out <- subtotal
		}()
	}
	for i := range n {
		in <- i
	}
	close(in)
	for range goroutines {
		sum += <-out
	}
	return sum, nil
}

// selectTimers has n goroutines wait for timers, one of which never fires.
func selectTimers(n int) (fired int, err error) {
	results := make(chan int)
	for i := range n {
		go func() {
			never := time.NewTimer(time.Hour)
			defer never.Stop()
			select {
			case <-time.After(time.Duration(i*10) * time.Microsecond):
				results <- 1
			case <-never.C:
				results <- 0
			}
		}()
	}
	for range n {
		fired += <-results
	}
	return fired, nil
}

// throughPipe sends text through a pipe, which the runtime's poller serves.
func throughPipe(text string) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	go func() {
		defer w.Close()
		_, _ = io.WriteString(w, text)
	}()
	defer r.Close()
	back, err := io.ReadAll(r)
	return string(back), err
}

// throughChild sends text through a child process.
func throughChild(text string) (string, error) {
	cmd := exec.Command("cat")
	cmd.Stdin = strings.NewReader(text)
	back, err := cmd.Output()
	return string(back), err
}

// notify sends the process a signal, waits until this runtime has seen it, and gives
// the signal back to whoever had it before. It must not be a signal that others
// send: one that comes in on a thread of another runtime's while Stop is at work
// makes Go put its handler back (runtime.raisebadsignal), and the next Notify then
// notes that as the one to forward to, which it does until the stack is used up.
// That needs no second Go runtime, and nothing outside of Go can prevent it.
func notify() error {
	seen := make(chan os.Signal, 1)
	signal.Notify(seen, syscall.SIGUSR1)
	defer signal.Stop(seen)
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGUSR1); err != nil {
		return err
	}
	<-seen
	return nil
}
