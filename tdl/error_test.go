package tdl

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

var kinds = []ErrorKind{TaskNotFound, DeserializationError, SerializationError, ExecutionError, InvalidTaskContext, Custom}

// Every kind arrives as it left, with its text.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		p := pack(t, Func("fail", func() error { return Errorf(kind, "%d of %s", 7, "many") }))
		_, err := call(t, p, "fail")
		var e *Error
		if !errors.As(err, &e) || e.Kind != kind || e.Message != "7 of many" {
			t.Errorf("%s: got %v", kind, err)
		}
		if !strings.Contains(e.Error(), "7 of many") {
			t.Errorf("%s: the text is %q", kind, e.Error())
		}
	}
}

// How the errors that tasks return travel.
func TestErrorTravels(t *testing.T) {
	t.Parallel()
	var none *Error
	for _, c := range []struct {
		name     string
		returned error
		want     Error
	}{
		{"plain", io.ErrNoProgress, Error{Kind: ExecutionError, Message: io.ErrNoProgress.Error()}},
		{"an *Error", Errorf(Custom, "mine"), Error{Kind: Custom, Message: "mine"}},
		{"a wrapped *Error keeps its kind", fmt.Errorf("around: %w", Errorf(Custom, "mine")), Error{Kind: Custom, Message: "around: mine"}},
		{"joined", errors.Join(io.ErrNoProgress, Errorf(InvalidTaskContext, "mine")), Error{Kind: InvalidTaskContext, Message: "mine"}},
		{"a kind alone", InvalidTaskContext, Error{Kind: InvalidTaskContext, Message: "InvalidTaskContext"}},
		{"a wrapped kind", fmt.Errorf("around: %w", Custom), Error{Kind: Custom, Message: "around: "}},
		{"a kind of its own", &Error{Kind: "Mine", Message: "m"}, Error{Kind: Custom, Message: "m"}},
		{"no text", &Error{Kind: ExecutionError}, Error{Kind: ExecutionError, Message: ""}},
		{"not UTF-8", errors.New("a\xffb"), Error{Kind: ExecutionError, Message: "a\uFFFDb"}},
		{"long", errors.New(strings.Repeat("x", 1<<20)), Error{Kind: ExecutionError, Message: strings.Repeat("x", 1<<20)}},
		{"a nil *Error", none, Error{Kind: ExecutionError, Message: "the task returned a nil *tdl.Error as its error"}},
	} {
		p := pack(t, Func("fail", func() (int, error) { return 5, c.returned }))
		_, err := call(t, p, "fail")
		var e *Error
		if !errors.As(err, &e) || e.Kind != c.want.Kind || !strings.Contains(e.Message, c.want.Message) {
			t.Errorf("%s: got %.100v", c.name, err)
		}
	}
}

func TestErrorIs(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("wrapped: %w", Errorf(Custom, "mine"))
	for _, c := range []struct {
		target error
		want   bool
	}{
		{&Error{Kind: Custom}, true},
		{&Error{Kind: Custom, Message: "mine"}, true},
		{&Error{Kind: Custom, Message: "other"}, false},
		{&Error{Kind: ExecutionError}, false},
		{&Error{Kind: ExecutionError, Message: "mine"}, false},
		{&Error{}, false},
		{io.EOF, false},
		{Custom, true},
		{ExecutionError, false},
	} {
		if got := errors.Is(err, c.target); got != c.want {
			t.Errorf("%#v: %v", c.target, got)
		}
	}
}

// What Errorf wraps is found on the task's own side.
func TestErrorfWraps(t *testing.T) {
	t.Parallel()
	err := error(Errorf(Custom, "around %w", io.EOF))
	if !errors.Is(err, io.EOF) || !errors.Is(err, Custom) || err.Error() != "around EOF" {
		t.Errorf("%v", err)
	}
	err = Errorf(Custom, "%w and %w", io.EOF, Errorf(TaskNotFound, "inner"))
	if !errors.Is(err, io.EOF) || !errors.Is(err, TaskNotFound) || asError(err).Kind != Custom {
		t.Errorf("%v", err)
	}
	if errors.Unwrap(Errorf(Custom, "plain %v", io.EOF)) != nil {
		t.Error("it wraps what it only prints")
	}
}
