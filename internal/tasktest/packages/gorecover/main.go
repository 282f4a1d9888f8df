// Gorecover is a Go package that answers panics as errors. It has one task per way
// to leave a function that is no return, and some that its process must survive, or
// not.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"

	"github.com/spider-go/spider/tdl"
	_ "github.com/spider-go/spider/tdl/cshared"
)

func init() {
	tdl.Register(tdl.Package{
		Name:          "gorecover",
		RecoverPanics: true,
		Tasks: []tdl.Task{
			tdl.Func("panic_text", func(text string) error { panic(text) }, tdl.Params("text"), tdl.Doc("Panics with this text.")),
			tdl.Func("panic_error", func() error { panic(errors.New("an error, panicked with")) }),
			tdl.Func("panic_task_error", func() error { panic(tdl.Errorf(tdl.Custom, "no answer")) }),
			tdl.Func("panic_nil", func() error { panic(nil) }),
			tdl.Func("nil_dereference", func() (int, error) { return *hidden, nil }),
			tdl.Func("index", func(i int) (int, error) { return []int{1, 2, 3}[i], nil }, tdl.Params("i")),
			tdl.Func("panic_in_encoding", func(broken) error { return nil }),
			tdl.Func("panic_in_error", func() error { return (*badError)(nil) }),
			tdl.Func("unfinished_line", func() error { fmt.Print("working... "); go panic("after a line without an end"); select {} }),
			tdl.Func("panic_lines", func() error { go panic(errors.Join(errors.New("first line"), errors.New("second line"))); select {} }),
			tdl.Func("goexit", func() error { runtime.Goexit(); return nil }),
			tdl.Func("panic_in_goroutine", func() error { go panic("in a goroutine"); select {} }),
			tdl.Func("exit", func(code int) error { os.Exit(code); return nil }, tdl.Params("code")),
			tdl.Func("spin", spin),
			tdl.Func("start_child", startChild, tdl.Doc("Starts a process that sleeps, and returns its id.")),
			tdl.Func("print", func(text string) error { fmt.Print(text); return nil }, tdl.Params("text")),
			tdl.Func("read_stdin", func() (int, error) { b, err := io.ReadAll(os.Stdin); return len(b), err }),
			tdl.Func("context", func(ctx tdl.TaskContext) (uint64, string, error) { return ctx.JobID, ctx.TaskID.String(), nil }),
			tdl.Func("sum_outputs", sumOutputs),
			tdl.Func("fine", func(n int) (int, error) { return n, nil }, tdl.Params("n")),
		},
	})
}

func main() { tdl.Main() }

// hidden is nil, but the compiler cannot know.
var hidden *int

// spin says that it has begun, and never ends.
func spin() error {
	fmt.Println("spinning")
	//lint:ignore SA5002 it is what a task that hangs does
	for {
	}
}

func startChild() (int, error) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}

func sumOutputs(ctx tdl.TaskContext) (sum int64, err error) {
	outputs, ok, err := ctx.TaskGraphOutputs()
	if err != nil || !ok {
		return 0, errors.Join(err, errors.New("no outputs"))
	}
	for i := range outputs {
		var n int64
		if err := outputs.Decode(i, &n); err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// broken panics where it is decoded.
type broken struct{}

func (broken) AppendTDL(dst []byte) ([]byte, error) { panic("while encoding") }
func (*broken) DecodeTDL(b []byte) ([]byte, error)  { panic("while decoding") }

// badError panics where it is asked for its text, if it is nil.
type badError struct{ text string }

func (e *badError) Error() string { return e.text }
