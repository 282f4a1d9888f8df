package msgpack

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// TypeError says that a Go type has no msgpack form.
type TypeError struct {
	Type reflect.Type
	// Fields names every unsupported place in the type, each as
	// "Order.Items[].Callback: func() has no msgpack form".
	Fields []string
}

func (e *TypeError) Error() string {
	return "msgpack: " + strings.Join(e.Fields, "; ")
}

// DecodeError says what was found where something else was wanted.
type DecodeError struct {
	Path   string // place in the value, such as items[3].price; "" is the value itself
	Offset int    // of the offending byte, from the start of the decoded bytes
	Want   string // what the target accepts
	Got    string // what is there
	Err    error  // a custom decoder's error, if it was one; Want and Got are then empty

	left  int   // bytes left at the offending byte, until Offset is known
	trail trail // Path, until it is known
}

func (e *DecodeError) Error() string {
	var s strings.Builder
	if e.Path != "" {
		s.WriteString(e.Path)
		s.WriteString(": ")
	}
	if e.Err != nil {
		s.WriteString(e.Err.Error())
	} else {
		fmt.Fprintf(&s, "expected %s, found %s", e.Want, e.Got)
	}
	fmt.Fprintf(&s, " (offset %d)", e.Offset)
	return s.String()
}

func (e *DecodeError) Unwrap() error { return e.Err }

// EncodeError says why a Go value of a supported type cannot be encoded.
type EncodeError struct {
	Path   string // place in the value, as in [DecodeError]
	Reason string
	Err    error // a custom encoder's error, if it was one

	trail trail
}

func (e *EncodeError) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return e.Path + ": " + e.Reason
}

func (e *EncodeError) Unwrap() error { return e.Err }

// trail collects a path from the inside out while an error travels up, so that
// a value without errors pays nothing for it.
type trail []string

// path writes the steps from the outside in, without the middle of a long path.
func (t trail) path() string {
	const ends = 16 // steps shown at each end
	slices.Reverse(t)
	if len(t) > 2*ends {
		t = slices.Concat(t[:ends], trail{"..."}, t[len(t)-ends:])
	}
	return strings.TrimPrefix(strings.Join(t, ""), ".")
}

// joinPath puts an inner path, which was complete for its own value, below an
// outer one.
func joinPath(outer, inner string) string {
	if outer != "" && inner != "" && inner[0] != '[' {
		return outer + "." + inner
	}
	return outer + inner
}

// inField and inElement add one step to an error's path.
func inField(err error, name string) error { return within(err, "."+name) }

func inElement(err error, i int) error { return within(err, fmt.Sprintf("[%d]", i)) }

func within(err error, step string) error {
	switch e := err.(type) {
	case *DecodeError:
		e.trail = append(e.trail, step)
	case *EncodeError:
		e.trail = append(e.trail, step)
	}
	return err
}

func finishDecode(err error, total int) error {
	if e, ok := err.(*DecodeError); ok {
		e.Path, e.Offset, e.trail = joinPath(e.trail.path(), e.Path), total-e.left, nil
	}
	return err
}

func finishEncode(err error) error {
	if e, ok := err.(*EncodeError); ok {
		e.Path, e.trail = joinPath(e.trail.path(), e.Path), nil
	}
	return err
}

// wrong is the error for the value at the front of b.
func wrong(b []byte, want string) error {
	return &DecodeError{Want: want, Got: describe(b), left: len(b)}
}

// wrongly is wrong with the finding spelled out.
func wrongly(b []byte, want, got string) error {
	return &DecodeError{Want: want, Got: got, left: len(b)}
}

func tooDeep(b []byte) error {
	return wrongly(b, fmt.Sprintf("at most %d nested arrays and maps", maxNesting), "one more")
}

func tooManyEnums(b []byte) error {
	return wrongly(b, fmt.Sprintf("at most %d nested enums", maxEnums), "one more")
}

func unencodable(format string, args ...any) error {
	return &EncodeError{Reason: fmt.Sprintf(format, args...)}
}

// customDecodeError places the error of a DecodeTDL method that was given b.
func customDecodeError(err error, b []byte) error {
	if e, ok := errors.AsType[*DecodeError](err); ok && error(e) == err {
		return &DecodeError{Path: e.Path, Want: e.Want, Got: e.Got, Err: e.Err, left: len(b) - e.Offset}
	}
	return &DecodeError{Err: err, left: len(b)}
}

// customEncodeError places the error of an AppendTDL method.
func customEncodeError(err error) error {
	if e, ok := errors.AsType[*EncodeError](err); ok && error(e) == err {
		return &EncodeError{Path: e.Path, Reason: e.Reason, Err: e.Err}
	}
	return &EncodeError{Reason: err.Error(), Err: err}
}
