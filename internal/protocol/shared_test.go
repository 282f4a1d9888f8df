package protocol

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSharedRequest(t *testing.T) {
	frame := AppendExecuteShared(nil, "p", "t", []byte("c"), 3)
	if got, want := len(frame), HeaderSize+ExecuteSize(1, 1, 1, 0); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	var r Request
	if err := DecodeRequestShared(body(frame), []byte("inputs"), &r); err != nil {
		t.Fatal(err)
	}
	if r.Kind != RequestExecute || string(r.Execute.Inputs) != "inp" || cap(r.Execute.Inputs) != 3 || string(r.Execute.Context) != "c" {
		t.Errorf("%+v", r)
	}
	// The usual requests mean what they always do.
	if err := DecodeRequestShared(body(AppendExecute(nil, "p", "t", nil, []byte("i"))), []byte("inputs"), &r); err != nil || string(r.Execute.Inputs) != "i" {
		t.Errorf("%+v, %v", r, err)
	}
	if err := DecodeRequestShared(body(AppendShutdown(nil)), []byte("inputs"), &r); err != nil || r.Kind != RequestShutdown {
		t.Errorf("%+v, %v", r, err)
	}
	var m *MessageError
	err := DecodeRequestShared(body(AppendExecuteShared(nil, "p", "t", []byte("c"), 7)), []byte("inputs"), &r)
	if !errors.As(err, &m) || m.Field != "inputs" || !strings.Contains(err.Error(), "shared memory (6 bytes)") {
		t.Errorf("%v", err)
	}
}

func TestSharedResponse(t *testing.T) {
	frame := AppendResponseShared(nil, Outcome{Payload: make([]byte, 9)}, 5*time.Microsecond)
	var r Response
	if err := DecodeResponseShared(body(frame), 9, &r); err != nil {
		t.Fatal(err)
	}
	if r.Shared != 9 || r.Outcome.Payload != nil || r.Outcome.Failure || r.Elapsed != 5*time.Microsecond {
		t.Errorf("%+v", r)
	}
	var m *MessageError
	if err := DecodeResponseShared(body(frame), 8, &r); !errors.As(err, &m) || m.Field != "outputs" {
		t.Errorf("%v", err)
	}
	if err := DecodeResponseShared(body(AppendResponse(nil, Outcome{Payload: []byte("o")}, 0)), 9, &r); err != nil || r.Shared != 0 || string(r.Outcome.Payload) != "o" {
		t.Errorf("%+v, %v", r, err)
	}
}

// Who knows of no shared memory takes its messages for damage, as before.
func TestSharedIsUnknown(t *testing.T) {
	var request Request
	var response Response
	for _, err := range []error{
		DecodeRequest(body(AppendExecuteShared(nil, "p", "t", []byte("c"), 0)), &request),
		DecodeResponse(body(AppendResponseShared(nil, Outcome{}, 0)), &response),
	} {
		var m *MessageError
		if !errors.As(err, &m) || m.Field != "tag" || !strings.Contains(m.Reason, "unknown value 2147483648") {
			t.Errorf("%v", err)
		}
	}
	// Only the first tag can be marked.
	frame := body(AppendResponse(nil, Outcome{}, 0))
	frame[7] = 0x80
	if err := DecodeResponseShared(frame, 10, &response); err == nil {
		t.Error("an outcome that is unknown is accepted")
	}
}

func FuzzDecodeRequestShared(f *testing.F) {
	f.Add(body(AppendExecuteShared(nil, "p", "t", []byte("c"), 3)), []byte("inputs"))
	f.Add(body(AppendExecute(nil, "p", "t", []byte("c"), []byte("i"))), []byte{})
	f.Fuzz(func(t *testing.T, b, shared []byte) {
		var r Request
		if err := DecodeRequestShared(b, shared, &r); err != nil {
			checkMessageError(t, err, b)
			return
		}
		again := body(appendRequest(nil, &r))
		if r.Kind == RequestExecute && b[3] == 0x80 {
			e := &r.Execute
			if !bytes.HasPrefix(shared, e.Inputs) {
				t.Errorf("inputs %x are not the beginning of %x", e.Inputs, shared)
			}
			again = body(AppendExecuteShared(nil, e.Package, e.Task, e.Context, len(e.Inputs)))
		}
		if !bytes.HasPrefix(b, again) {
			t.Errorf("%x is accepted as %x", b, again)
		}
	})
}

func FuzzDecodeResponseShared(f *testing.F) {
	f.Add(body(AppendResponseShared(nil, Outcome{Payload: make([]byte, 9)}, 0)), uint16(9))
	f.Add(body(AppendResponse(nil, Outcome{Payload: []byte("o")}, 0)), uint16(0))
	f.Fuzz(func(t *testing.T, b []byte, max uint16) {
		var r Response
		if err := DecodeResponseShared(b, int(max), &r); err != nil {
			checkMessageError(t, err, b)
			return
		}
		if r.Shared > int(max) || r.Shared > 0 && r.Outcome.Payload != nil {
			t.Errorf("%x: %+v", b, r)
		}
	})
}
