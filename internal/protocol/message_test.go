package protocol

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// body returns the body of a frame.
func body(f []byte) []byte { return f[HeaderSize:] }

func TestDecodeRequestRejects(t *testing.T) {
	t.Parallel()
	// 0 Execute, and a package of one byte
	const start = "00000000 0100000000000000 70"
	for _, test := range []struct {
		hex  string
		want MessageError
	}{
		{"", MessageError{Field: "tag", Offset: 0, Reason: "the frame is empty"}},
		{"000000", MessageError{Field: "tag", Offset: 0, Reason: "needs 4 bytes at offset 0 (3 bytes left)"}},
		{"02000000", MessageError{Field: "tag", Offset: 0, Reason: "unknown value 2 at offset 0 (0 to 1 are known)"}},
		{"00000001", MessageError{Field: "tag", Offset: 0, Reason: "unknown value 16777216 at offset 0 (0 to 1 are known)"}},
		{"00000000", MessageError{Field: "package", Offset: 4, Reason: "needs 8 bytes at offset 4 (0 bytes left)"}},
		{"00000000 01000000000000", MessageError{Field: "package", Offset: 4, Reason: "needs 8 bytes at offset 4 (7 bytes left)"}},
		{
			"00000000 0000000001000000 000000000000000000000000",
			MessageError{Field: "package", Offset: 4, Reason: "length 4294967296 at offset 4 goes past the end of the frame (12 bytes left)"},
		},
		{
			"00000000 ffffffffffffffff 70",
			MessageError{Field: "package", Offset: 4, Reason: "length 18446744073709551615 at offset 4 goes past the end of the frame (1 bytes left)"},
		},
		{
			"00000000 0000000000000080 70",
			MessageError{Field: "package", Offset: 4, Reason: "length 9223372036854775808 at offset 4 goes past the end of the frame (1 bytes left)"},
		},
		{"00000000 0300000000000000 7061ff", MessageError{Field: "package", Offset: 14, Reason: "invalid UTF-8 at offset 14"}},
		{start, MessageError{Field: "task", Offset: 13, Reason: "needs 8 bytes at offset 13 (0 bytes left)"}},
		// a surrogate half
		{start + "0300000000000000 eda080", MessageError{Field: "task", Offset: 21, Reason: "invalid UTF-8 at offset 21"}},
		{
			start + "0000000000000000 0200000000000000 01",
			MessageError{Field: "context", Offset: 21, Reason: "length 2 at offset 21 goes past the end of the frame (1 bytes left)"},
		},
		{
			start + "0000000000000000 0000000000000000 0100000000000000",
			MessageError{Field: "inputs", Offset: 29, Reason: "length 1 at offset 29 goes past the end of the frame (0 bytes left)"},
		},
	} {
		before := Request{Kind: 7, Execute: Execute{Task: []byte("kept")}}
		r := before
		err := DecodeRequest(unhex(t, test.hex), &r)
		test.want.Message = "Request"
		if diff := cmp.Diff(error(&test.want), err); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.hex, diff)
		}
		if diff := cmp.Diff(before, r); diff != "" {
			t.Errorf("%s: the request was changed:\n%s", test.hex, diff)
		}
	}
	err := DecodeRequest(unhex(t, "00000000 0000000001000000 000000000000000000000000"), new(Request))
	const text = "Request: package: length 4294967296 at offset 4 goes past the end of the frame (12 bytes left)"
	if err == nil || err.Error() != text {
		t.Errorf("text is %q, want %q", err, text)
	}
}

func TestDecodeResponseRejects(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hex  string
		want MessageError
	}{
		{"", MessageError{Field: "tag", Offset: 0, Reason: "the frame is empty"}},
		{"01000000", MessageError{Field: "tag", Offset: 0, Reason: "unknown value 1 at offset 0 (0 to 0 are known)"}},
		{"00000000 0100", MessageError{Field: "outcome", Offset: 4, Reason: "needs 4 bytes at offset 4 (2 bytes left)"}},
		{"00000000 02000000", MessageError{Field: "outcome", Offset: 4, Reason: "unknown value 2 at offset 4 (0 to 1 are known)"}},
		{
			"00000000 00000000 ffffffffffffffff 0000",
			MessageError{Field: "outputs", Offset: 8, Reason: "length 18446744073709551615 at offset 8 goes past the end of the frame (2 bytes left)"},
		},
		{"00000000 01000000 00", MessageError{Field: "error", Offset: 8, Reason: "needs 8 bytes at offset 8 (1 bytes left)"}},
		{
			"00000000 01000000 0000000000000000 00000000000000",
			MessageError{Field: "elapsed", Offset: 16, Reason: "needs 8 bytes at offset 16 (7 bytes left)"},
		},
	} {
		before := Response{Elapsed: 7}
		r := before
		err := DecodeResponse(unhex(t, test.hex), &r)
		test.want.Message = "Response"
		if diff := cmp.Diff(error(&test.want), err); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.hex, diff)
		}
		if diff := cmp.Diff(before, r); diff != "" {
			t.Errorf("%s: the response was changed:\n%s", test.hex, diff)
		}
	}
}

func TestDecodeIgnoresTrailingBytes(t *testing.T) {
	t.Parallel()
	for name, message := range frames(t) {
		switch m := message.(type) {
		case *Request:
			var r Request
			if err := DecodeRequest(append(body(appendRequest(nil, m)), 0xff, 1), &r); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if diff := cmp.Diff(m, &r); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		case *Response:
			var r Response
			if err := DecodeResponse(append(body(AppendResponse(nil, m.Outcome, m.Elapsed)), 0xff, 1), &r); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if diff := cmp.Diff(m, &r); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
	}
}

func TestDecodeRequestClearsExecute(t *testing.T) {
	t.Parallel()
	r := Request{Execute: Execute{Package: []byte("old")}}
	if err := DecodeRequest(body(AppendShutdown(nil)), &r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Request{Kind: RequestShutdown}, r); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestElapsed(t *testing.T) {
	t.Parallel()
	const largest = math.MaxInt64 / 1000 // microseconds
	for _, test := range []struct {
		us   uint64
		want time.Duration
	}{
		{0, 0},
		{1, time.Microsecond},
		{largest, largest * time.Microsecond},
		{largest + 1, math.MaxInt64},
		{math.MaxInt64, math.MaxInt64},
		{math.MaxUint64, math.MaxInt64},
	} {
		b := binary.LittleEndian.AppendUint64(make([]byte, 16), test.us)
		var r Response
		if err := DecodeResponse(b, &r); err != nil || r.Elapsed != test.want {
			t.Errorf("%d µs: %v, %v, want %v", test.us, r.Elapsed, err, test.want)
		}
	}
	for _, test := range []struct {
		elapsed, want time.Duration
	}{
		{-time.Hour, 0},
		{math.MinInt64, 0},
		{1999 * time.Nanosecond, time.Microsecond},
		{math.MaxInt64, largest * time.Microsecond},
	} {
		var r Response
		err := DecodeResponse(body(AppendResponse(nil, Outcome{}, test.elapsed)), &r)
		if err != nil || r.Elapsed != test.want {
			t.Errorf("%v: %v, %v, want %v", test.elapsed, r.Elapsed, err, test.want)
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	f := AppendExecute([]byte("before"), "package", "task", make([]byte, 100), make([]byte, 1000))
	if got, want := len(f), len("before")+HeaderSize+ExecuteSize(7, 4, 100, 1000); got != want {
		t.Errorf("the Execute frame has %d bytes, want %d", got, want)
	}
	if !strings.HasPrefix(string(f), "before") {
		t.Error("AppendExecute changed what was there")
	}
	f = AppendResponse([]byte("before"), Outcome{Payload: make([]byte, 10)}, 0)
	if got, want := len(f), len("before")+HeaderSize+ResponseSize(10); got != want {
		t.Errorf("the Response frame has %d bytes, want %d", got, want)
	}
}

// The types of package and task do not change the bytes.
func TestAppendExecuteTypes(t *testing.T) {
	t.Parallel()
	text := AppendExecute(nil, "päckage", "täsk", []byte{1}, nil)
	raw := AppendExecute(nil, []byte("päckage"), []byte("täsk"), []byte{1}, []byte{})
	if !bytes.Equal(text, raw) {
		t.Errorf("%x and %x", text, raw)
	}
}

func TestMessageAllocations(t *testing.T) {
	var (
		request  = body(AppendExecute(nil, "package", "task", []byte("context"), []byte("inputs")))
		response = body(AppendResponse(nil, Outcome{Payload: []byte("outputs")}, time.Second))
		buf      = make([]byte, 0, 1024)
		req      Request
		resp     Response
	)
	for name, f := range map[string]func(){
		"DecodeRequest": func() {
			if err := DecodeRequest(request, &req); err != nil {
				t.Fatal(err)
			}
		},
		"DecodeResponse": func() {
			if err := DecodeResponse(response, &resp); err != nil {
				t.Fatal(err)
			}
		},
		"AppendExecute of strings": func() { buf = AppendExecute(buf[:0], "package", "task", request, response) },
		"AppendExecute of bytes":   func() { buf = AppendExecute(buf[:0], req.Execute.Package, req.Execute.Task, request, response) },
		"AppendResponse":           func() { buf = AppendResponse(buf[:0], Outcome{Payload: request}, time.Second) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkAppendExecute(b *testing.B) {
	context, inputs := make([]byte, 21), make([]byte, 1000)
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendExecute(buf[:0], "integration_test_tasks", "fibonacci", context, inputs)
	}
}

func BenchmarkDecodeRequest(b *testing.B) {
	f := body(AppendExecute(nil, "integration_test_tasks", "fibonacci", make([]byte, 21), make([]byte, 1000)))
	var r Request
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeRequest(f, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeResponse(b *testing.B) {
	f := body(AppendResponse(nil, Outcome{Payload: make([]byte, 1000)}, time.Second))
	var r Response
	b.ReportAllocs()
	for b.Loop() {
		if err := DecodeResponse(f, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add([]byte{})
	f.Add(body(AppendShutdown(nil)))
	f.Add(body(AppendExecute(nil, "p", "t", []byte("c"), []byte("i"))))
	f.Add([]byte("\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Request
		if err := DecodeRequest(b, &r); err != nil {
			checkMessageError(t, err, b)
			return
		}
		// What was accepted is the start of b, byte for byte.
		if again := body(appendRequest(nil, &r)); !bytes.HasPrefix(b, again) {
			t.Errorf("%x is accepted as %x", b, again)
		}
	})
}

func FuzzDecodeResponse(f *testing.F) {
	f.Add([]byte{})
	f.Add(body(AppendResponse(nil, Outcome{Payload: []byte("outputs")}, time.Second)))
	f.Add(body(AppendResponse(nil, Outcome{Failure: true}, -1)))
	f.Add(append(body(AppendResponse(nil, Outcome{}, 0))[:16], "\xff\xff\xff\xff\xff\xff\xff\xff"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Response
		if err := DecodeResponse(b, &r); err != nil {
			checkMessageError(t, err, b)
			return
		}
		again := body(AppendResponse(nil, r.Outcome, r.Elapsed))
		if r.Elapsed == math.MaxInt64 {
			again = again[:len(again)-lengthSize]
		}
		if !bytes.HasPrefix(b, again) {
			t.Errorf("%x is accepted as %x", b, again)
		}
	})
}

func checkMessageError(t *testing.T, err error, b []byte) {
	t.Helper()
	m, ok := err.(*MessageError)
	if !ok || m.Message == "" || m.Field == "" || m.Reason == "" || m.Offset < 0 || m.Offset > len(b) {
		t.Errorf("poor error: %#v", err)
	}
	if len(err.Error()) > 1000 {
		t.Errorf("error of %d bytes", len(err.Error()))
	}
}
