package protocol

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTdlErrorText(t *testing.T) {
	t.Parallel()
	if got := (&TdlError{Message: "text"}).Error(); got != "text" {
		t.Errorf("no variant: %q", got)
	}
}

func TestExecutorErrorText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  ExecutorError
		want string
	}{
		{
			ExecutorError{Variant: PackageInitError, Task: &TdlError{TdlCustom, "no licence"}},
			"package initialization failed: no licence",
		},
		{ExecutorError{Variant: TaskError, Message: "lost"}, "task execution failed: lost"},
		{ExecutorError{Message: "text"}, "text"},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.err, got, test.want)
		}
	}
}

func TestExecutorErrorUnwrap(t *testing.T) {
	t.Parallel()
	inner := &TdlError{TdlExecutionError, "boom"}
	err := fmt.Errorf("wrapped: %w", &ExecutorError{Variant: TaskError, Task: inner})
	var task *TdlError
	if !errors.As(err, &task) || task != inner {
		t.Errorf("the task's error is not found in %v", err)
	}
	err = &ExecutorError{Variant: InvalidLibrary, Message: "text"}
	if errors.As(err, &task) && task == nil || errors.Unwrap(err) != nil {
		t.Error("an error without a task unwraps to something")
	}
}

// Whatever a program puts into an error, a peer can decode it.
func TestAppendIsAlwaysReadable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in, want ExecutorError
	}{
		{
			ExecutorError{},
			ExecutorError{Variant: TaskError, Task: &TdlError{Variant: TdlCustom}},
		},
		{
			ExecutorError{Variant: "Nonsense", Message: "text"},
			ExecutorError{Variant: TaskError, Task: &TdlError{TdlCustom, "text"}},
		},
		{
			ExecutorError{Variant: PackageInitError, Message: "text"},
			ExecutorError{Variant: PackageInitError, Task: &TdlError{TdlCustom, "text"}},
		},
		{
			ExecutorError{Variant: TaskError, Task: &TdlError{"Nonsense", "a\xffb"}},
			ExecutorError{Variant: TaskError, Task: &TdlError{TdlCustom, "a\uFFFDb"}},
		},
		{
			ExecutorError{Variant: InvalidLibrary, Message: "\xff\xfe" + strings.Repeat("x", 1<<17)},
			ExecutorError{Variant: InvalidLibrary, Message: "\uFFFD" + strings.Repeat("x", 1<<17)},
		},
	} {
		got, err := DecodeExecutorError(test.in.Append(nil))
		if err != nil {
			t.Errorf("%.100v: %v", test.in, err)
		} else if diff := cmp.Diff(&test.want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func BenchmarkExecutorErrorAppend(b *testing.B) {
	e := &ExecutorError{Variant: TaskError, Task: &TdlError{TdlExecutionError, "division by zero"}}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = e.Append(buf[:0])
	}
}
