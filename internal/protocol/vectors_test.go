package protocol

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// vector is one entry of testdata/vectors.json: bytes the Rust implementation
// wrote, or what it did with bytes it was given.
type vector struct {
	Name string `json:"name"`
	Hex  string `json:"hex"`
	Note string `json:"note"`

	data []byte
}

// vectors returns the entries whose name starts with prefix.
func vectors(t *testing.T, prefix string) []vector {
	t.Helper()
	text, err := os.ReadFile("../../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all, found []vector
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, v := range all {
		if !strings.HasPrefix(v.Name, prefix) {
			continue
		}
		if v.data, err = hex.DecodeString(v.Hex); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		found = append(found, v)
	}
	if len(found) == 0 {
		t.Fatalf("no vector is called %s...", prefix)
	}
	return found
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// frames are the messages of the frame/ vectors: *Request or *Response.
func frames(t *testing.T) map[string]any {
	const (
		pkg     = "integration_test_tasks"
		elapsed = 1234 * time.Microsecond
	)
	context := unhex(t, "95 cf1122334455667788 81a5496e64657800 07 2a c0")
	return map[string]any{
		"frame/shutdown": &Request{Kind: RequestShutdown},
		"frame/execute_fibonacci_10": &Request{Execute: Execute{
			[]byte(pkg), []byte("fibonacci"), context, unhex(t, "01000000 01000000 0a"),
		}},
		"frame/execute_empty_fields": &Request{Execute: Execute{[]byte{}, []byte{}, []byte{}, []byte{}}},
		"frame/execute_always_fail": &Request{Execute: Execute{
			[]byte(pkg), []byte("always_fail"), context, unhex(t, "00000000"),
		}},
		"frame/execute_commit_1_2_3": &Request{Execute: Execute{
			[]byte(pkg), []byte("assert_outputs_sum_zero"),
			unhex(t, "95 cf1122334455667788 a6436f6d6d6974 07 2a dc001400 03000000 0100000001 0100000002 0100000003"),
			unhex(t, "00000000"),
		}},
		"frame/response_success_55": &Response{
			Outcome: Outcome{Payload: unhex(t, "01000000 01000000 37")}, Elapsed: elapsed,
		},
		"frame/response_success_unit":        &Response{Outcome: Outcome{Payload: unhex(t, "00000000")}, Elapsed: elapsed},
		"frame/response_success_empty_bytes": &Response{Outcome: Outcome{Payload: []byte{}}, Elapsed: elapsed},
		"frame/response_failure_incompatible_version": &Response{Outcome: Outcome{
			Failure: true,
			Payload: (&ExecutorError{
				Variant: IncompatibleVersion, Package: Version{9, 8, 7}, Executor: Version{0, 1, 0},
			}).Append(nil),
		}, Elapsed: elapsed},
	}
}

func TestFrameVectors(t *testing.T) {
	t.Parallel()
	messages := frames(t)
	for _, v := range vectors(t, "frame/") {
		message, ok := messages[v.Name]
		if !ok {
			t.Errorf("%s: no test handles it", v.Name)
			continue
		}
		delete(messages, v.Name)
		body, err := NewReader(bytes.NewReader(v.data), 0).ReadFrame()
		if err != nil {
			t.Errorf("%s: ReadFrame: %v", v.Name, err)
			continue
		}
		var encoded []byte
		var decoded any
		switch m := message.(type) {
		case *Request:
			encoded = appendRequest(nil, m)
			var r Request
			err, decoded = DecodeRequest(body, &r), &r
		case *Response:
			encoded = AppendResponse(nil, m.Outcome, m.Elapsed)
			var r Response
			err, decoded = DecodeResponse(body, &r), &r
		}
		if err != nil {
			t.Errorf("%s: decoding: %v", v.Name, err)
		} else if diff := cmp.Diff(message, decoded); diff != "" {
			t.Errorf("%s: decoding (-want +got):\n%s", v.Name, diff)
		}
		if !bytes.Equal(encoded, v.data) {
			t.Errorf("%s: encoding\n got %x\nwant %x", v.Name, encoded, v.data)
		}
	}
	for name := range messages {
		t.Errorf("%s: the vector is gone", name)
	}
}

func appendRequest(dst []byte, r *Request) []byte {
	if r.Kind == RequestShutdown {
		return AppendShutdown(dst)
	}
	e := &r.Execute
	return AppendExecute(dst, e.Package, e.Task, e.Context, e.Inputs)
}

func TestTdlErrorVectors(t *testing.T) {
	t.Parallel()
	missing := make(map[TdlVariant]bool)
	for _, variant := range tdlVariants {
		missing[variant] = true
	}
	for _, v := range vectors(t, "msgpack/TdlError/") {
		want := &TdlError{TdlVariant(strings.TrimPrefix(v.Name, "msgpack/TdlError/")), "msg"}
		delete(missing, want.Variant)
		if got := want.Append(nil); !bytes.Equal(got, v.data) {
			t.Errorf("%s: encoding\n got %x\nwant %x", v.Name, got, v.data)
		}
		got, err := DecodeTdlError(v.data)
		if err != nil {
			t.Errorf("%s: decoding: %v", v.Name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: decoding (-want +got):\n%s", v.Name, diff)
		}
		if text := strings.TrimPrefix(v.Note, "Display: "); got.Error() != text {
			t.Errorf("%s: text %q, want %q", v.Name, got.Error(), text)
		}
	}
	for variant := range missing {
		t.Errorf("no vector for %s", variant)
	}
}

func TestExecutorErrorVectors(t *testing.T) {
	t.Parallel()
	const prefix = "msgpack/ExecutorError/"
	missing := make(map[ExecutorVariant]bool)
	for _, variant := range executorVariants {
		missing[variant] = true
	}
	for _, v := range vectors(t, prefix) {
		variant, task, nested := strings.Cut(strings.TrimPrefix(v.Name, prefix), "(")
		want := &ExecutorError{Variant: ExecutorVariant(variant)}
		switch {
		case nested:
			want.Task = &TdlError{TdlVariant(strings.TrimSuffix(task, ")")), "msg"}
		case want.Variant == IncompatibleVersion:
			want.Package, want.Executor = Version{9, 8, 7}, Version{0, 1, 0}
		default:
			want.Message = "msg"
		}
		delete(missing, want.Variant)
		if got := want.Append(nil); !bytes.Equal(got, v.data) {
			t.Errorf("%s: encoding\n got %x\nwant %x", v.Name, got, v.data)
		}
		got, err := DecodeExecutorError(v.data)
		if err != nil {
			t.Errorf("%s: decoding: %v", v.Name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: decoding (-want +got):\n%s", v.Name, diff)
		}
		if text := strings.TrimPrefix(v.Note, "Display: "); got.Error() != text {
			t.Errorf("%s: text %q, want %q", v.Name, got.Error(), text)
		}
	}
	// There is no vector for it; its shape is that of TaskError.
	delete(missing, PackageInitError)
	for variant := range missing {
		t.Errorf("no vector for %s", variant)
	}
}

func TestDecodeTdlErrorVectors(t *testing.T) {
	t.Parallel()
	for _, v := range vectors(t, "decode/TdlError") {
		if !strings.HasPrefix(v.Note, "rejected: ") {
			t.Errorf("%s: no test handles %q", v.Name, v.Note)
			continue
		}
		if e, err := DecodeTdlError(v.data); err == nil {
			t.Errorf("%s: accepted as %+v", v.Name, e)
		}
	}
}
