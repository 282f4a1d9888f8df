package protocol

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// Enum tags of the messages.
const (
	tagExecute  = 0
	tagShutdown = 1
	tagResult   = 0
	tagSuccess  = 0
	tagFailure  = 1

	// tagShared marks a message whose last field lies in memory that both sides see
	// (package sharedmem): in its place stands the field's length alone. No peer sees
	// it that has not said it knows that.
	tagShared = 1 << 31

	tagSize    = 4 // bytes of an enum tag
	lengthSize = 8 // bytes of a length, and of the elapsed time
)

// RequestKind tells the requests apart.
type RequestKind uint32

// The requests.
const (
	RequestExecute  RequestKind = tagExecute
	RequestShutdown RequestKind = tagShutdown
)

func (k RequestKind) String() string {
	switch k {
	case RequestExecute:
		return "Execute"
	case RequestShutdown:
		return "Shutdown"
	}
	return fmt.Sprintf("RequestKind(%d)", uint32(k))
}

// Execute asks for one task to be run. After decoding, its fields are views into
// the frame.
type Execute struct {
	Package []byte // valid UTF-8
	Task    []byte // valid UTF-8
	Context []byte // msgpack TaskContext
	Inputs  []byte // payload sequence
}

// Request is what a parent sends. Execute is empty unless Kind is
// [RequestExecute].
type Request struct {
	Kind    RequestKind
	Execute Execute
}

// Outcome is how a task ended. Payload is the task's outputs (a payload
// sequence), or an encoded [ExecutorError] if Failure is set.
type Outcome struct {
	Failure bool
	Payload []byte
}

// Response is what an executor sends for each Execute. Elapsed covers the
// package lookup up to the task's return; the wire carries whole microseconds.
type Response struct {
	Outcome Outcome
	Elapsed time.Duration

	// Shared is how many bytes the payload has in shared memory, 0 if it is in
	// Outcome.
	Shared int
}

// MessageError says why a message, or an error inside one, could not be decoded.
type MessageError struct {
	Message string // "Request", "Response", "TdlError" or "ExecutorError"
	Field   string // the field that is damaged, such as "package"
	Offset  int    // bytes from the start of the message to the damage
	Reason  string // in words, with the offset
}

func (e *MessageError) Error() string {
	return e.Message + ": " + e.Field + ": " + e.Reason
}

// ExecuteSize returns the size in bytes of the body that [AppendExecute] builds
// from fields of these lengths, so that a request that is too large can be
// refused (see [CheckFrame]) before anything is built.
func ExecuteSize(pkg, task, context, inputs int) int {
	return tagSize + 4*lengthSize + pkg + task + context + inputs
}

// AppendExecute appends a whole Execute frame, header included, to dst. The
// caller has checked the size (see [ExecuteSize]), and that pkg and task are
// valid UTF-8: an executor ends on anything else.
func AppendExecute[S ~string | ~[]byte](dst []byte, pkg, task S, context, inputs []byte) []byte {
	size := ExecuteSize(len(pkg), len(task), len(context), len(inputs))
	return appendBytes(appendExecute(dst, size, tagExecute, pkg, task, context), inputs)
}

// AppendExecuteHead is [AppendExecute] without the inputs, which follow it: large ones
// are written from where they are.
func AppendExecuteHead[S ~string | ~[]byte](dst []byte, pkg, task S, context []byte, inputs int) []byte {
	size := ExecuteSize(len(pkg), len(task), len(context), inputs)
	return binary.LittleEndian.AppendUint64(appendExecute(dst, size, tagExecute, pkg, task, context), uint64(inputs))
}

// AppendExecuteShared is [AppendExecute] for inputs of that many bytes that lie in
// shared memory. The caller has checked the size of ExecuteSize without them.
func AppendExecuteShared[S ~string | ~[]byte](dst []byte, pkg, task S, context []byte, inputs int) []byte {
	size := ExecuteSize(len(pkg), len(task), len(context), 0)
	return binary.LittleEndian.AppendUint64(appendExecute(dst, size, tagShared, pkg, task, context), uint64(inputs))
}

// appendExecute appends all but the inputs.
func appendExecute[S ~string | ~[]byte](dst []byte, size int, tag uint32, pkg, task S, context []byte) []byte {
	dst = appendFrameHeader(dst, size)
	dst = binary.LittleEndian.AppendUint32(dst, tag)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(pkg)))
	dst = append(dst, pkg...)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(task)))
	dst = append(dst, task...)
	return appendBytes(dst, context)
}

// AppendShutdown appends a whole Shutdown frame, header included, to dst.
func AppendShutdown(dst []byte) []byte {
	dst = appendFrameHeader(dst, tagSize)
	return binary.LittleEndian.AppendUint32(dst, tagShutdown)
}

// ResponseSize returns the size in bytes of the body that [AppendResponse]
// builds around a payload of this length.
func ResponseSize(payload int) int {
	return 2*tagSize + 2*lengthSize + payload
}

// AppendResponse appends a whole Response frame, header included, to dst. The
// caller has checked the size (see [ResponseSize]). A negative elapsed counts
// as 0; fractions of a microsecond are dropped.
func AppendResponse(dst []byte, o Outcome, elapsed time.Duration) []byte {
	dst = appendResponse(dst, len(o.Payload), tagResult, &o)
	return appendElapsed(append(dst, o.Payload...), elapsed)
}

// SplitResponse is [AppendResponse] in parts, for a large payload that is written from
// where it is: what comes before it in the frame, and what after it.
func SplitResponse(dst []byte, o Outcome, elapsed time.Duration) (head, tail []byte) {
	head = appendResponse(dst, len(o.Payload), tagResult, &o)
	n := len(head)
	both := appendElapsed(head, elapsed)
	return both[:n], both[n:]
}

// AppendResponseShared is [AppendResponse] for an outcome whose payload lies in shared
// memory.
func AppendResponseShared(dst []byte, o Outcome, elapsed time.Duration) []byte {
	return appendElapsed(appendResponse(dst, 0, tagShared, &o), elapsed)
}

// appendResponse appends what comes before the payload, of which that many bytes follow
// in the frame.
func appendResponse(dst []byte, follow int, tag uint32, o *Outcome) []byte {
	dst = appendFrameHeader(dst, ResponseSize(follow))
	dst = binary.LittleEndian.AppendUint32(dst, tag)
	dst = binary.LittleEndian.AppendUint32(dst, o.tag())
	return binary.LittleEndian.AppendUint64(dst, uint64(len(o.Payload)))
}

func (o *Outcome) tag() uint32 {
	if o.Failure {
		return tagFailure
	}
	return tagSuccess
}

func appendElapsed(dst []byte, elapsed time.Duration) []byte {
	return binary.LittleEndian.AppendUint64(dst, uint64(max(elapsed, 0)/time.Microsecond))
}

func appendBytes(dst, b []byte) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(b)))
	return append(dst, b...)
}

// DecodeRequest reads the body of a frame into r, whose fields become views into
// it. Bytes after the message are ignored. On an error, a [*MessageError], r is
// left as it was.
func DecodeRequest(body []byte, r *Request) error { return DecodeRequestShared(body, nil, r) }

// DecodeRequestShared is [DecodeRequest] of an executor that has told its parent that it
// knows of the shared memory, whose payload may be what shared is. Nil is none.
func DecodeRequestShared(body, shared []byte, r *Request) error {
	d := decoder{message: "Request", body: body, shared: shared != nil}
	tag, err := d.tag("tag", tagShutdown)
	if err != nil {
		return err
	}
	var e Execute
	if tag != tagShutdown {
		if e.Package, err = d.text("package"); err != nil {
			return err
		}
		if e.Task, err = d.text("task"); err != nil {
			return err
		}
		if e.Context, err = d.bytes("context"); err != nil {
			return err
		}
		if tag == tagShared {
			var n int
			n, err = d.sharedLength("inputs", len(shared))
			e.Inputs = shared[:n:n]
			tag = tagExecute
		} else {
			e.Inputs, err = d.bytes("inputs")
		}
		if err != nil {
			return err
		}
	}
	r.Kind, r.Execute = RequestKind(tag), e
	return nil
}

// DecodeResponse reads the body of a frame into r, whose payload becomes a view
// into it. Bytes after the message are ignored. An elapsed time beyond what a
// time.Duration holds (292 years) becomes the largest one. On an error, a
// [*MessageError], r is left as it was.
func DecodeResponse(body []byte, r *Response) error { return DecodeResponseShared(body, 0, r) }

// DecodeResponseShared is [DecodeResponse] of a parent whose executor may have left a
// payload of up to max bytes in shared memory. Then r.Shared is its length, and r has no
// payload.
func DecodeResponseShared(body []byte, max int, r *Response) error {
	d := decoder{message: "Response", body: body, shared: max > 0}
	tag, err := d.tag("tag", tagResult)
	if err != nil {
		return err
	}
	outcome, err := d.tag("outcome", tagFailure)
	if err != nil {
		return err
	}
	field := "outputs"
	if outcome == tagFailure {
		field = "error"
	}
	var payload []byte
	shared := 0
	if tag == tagShared {
		shared, err = d.sharedLength(field, max)
	} else {
		payload, err = d.bytes(field)
	}
	if err != nil {
		return err
	}
	us, err := d.u64("elapsed")
	if err != nil {
		return err
	}
	r.Outcome = Outcome{Failure: outcome == tagFailure, Payload: payload}
	r.Shared = shared
	r.Elapsed = math.MaxInt64
	if us <= math.MaxInt64/uint64(time.Microsecond) {
		r.Elapsed = time.Duration(us) * time.Microsecond
	}
	return nil
}

// decoder walks through one bincode message.
type decoder struct {
	message string
	body    []byte
	off     int
	shared  bool // the message may be one that is marked by tagShared
}

func (d *decoder) left() int { return len(d.body) - d.off }

func (d *decoder) fail(field string, offset int, format string, args ...any) error {
	return &MessageError{Message: d.message, Field: field, Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// tag reads an enum tag that may be 0 to last.
func (d *decoder) tag(field string, last uint32) (uint32, error) {
	if len(d.body) == 0 {
		return 0, d.fail(field, 0, "the frame is empty")
	}
	if d.left() < tagSize {
		return 0, d.fail(field, d.off, "needs %d bytes at offset %d (%d bytes left)", tagSize, d.off, d.left())
	}
	tag := binary.LittleEndian.Uint32(d.body[d.off:])
	if tag > last && !(tag == tagShared && d.off == 0 && d.shared) {
		return 0, d.fail(field, d.off, "unknown value %d at offset %d (0 to %d are known)", tag, d.off, last)
	}
	d.off += tagSize
	return tag, nil
}

func (d *decoder) u64(field string) (uint64, error) {
	if d.left() < lengthSize {
		return 0, d.fail(field, d.off, "needs %d bytes at offset %d (%d bytes left)", lengthSize, d.off, d.left())
	}
	v := binary.LittleEndian.Uint64(d.body[d.off:])
	d.off += lengthSize
	return v, nil
}

func (d *decoder) bytes(field string) ([]byte, error) {
	at := d.off
	n, err := d.u64(field)
	if err != nil {
		return nil, err
	}
	if n > uint64(d.left()) {
		return nil, d.fail(field, at, "length %d at offset %d goes past the end of the frame (%d bytes left)",
			n, at, d.left())
	}
	end := d.off + int(n)
	b := d.body[d.off:end:end]
	d.off = end
	return b, nil
}

// sharedLength reads the length of a field that lies in shared memory of that size.
func (d *decoder) sharedLength(field string, max int) (int, error) {
	at := d.off
	n, err := d.u64(field)
	if err != nil {
		return 0, err
	}
	if n > uint64(max) {
		return 0, d.fail(field, at, "length %d at offset %d goes past the end of the shared memory (%d bytes)", n, at, max)
	}
	return int(n), nil
}

func (d *decoder) text(field string) ([]byte, error) {
	b, err := d.bytes(field)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(b) {
		bad := d.off - len(b) + firstInvalid(b)
		return nil, d.fail(field, bad, "invalid UTF-8 at offset %d", bad)
	}
	return b, nil
}

// firstInvalid returns the index of the first byte of b that is not UTF-8.
func firstInvalid(b []byte) int {
	i := 0
	for i < len(b) {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return i
}
