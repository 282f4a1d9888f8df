// Gobehave is a Go package with the bad behaviour that only Go code can have. It
// is built twice, under two names, to have two Go runtimes in one process.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
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
