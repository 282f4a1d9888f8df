package main_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
)

// raw runs an executor on bytes and returns what it wrote and its exit status.
func raw(t *testing.T, stdin []byte, env ...string) (stdout []byte, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(built.Executor)
	cmd.Env = append(append(cleanEnv(), "SPIDER_TDL_PACKAGE_DIR="+built.Packages), env...)
	var out, err bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &out, &err
	if e := cmd.Run(); e != nil && cmd.ProcessState == nil {
		t.Fatal(e)
	}
	return out.Bytes(), err.String(), cmd.ProcessState.ExitCode()
}

// answers splits what an executor wrote into responses.
func answers(t *testing.T, stdout []byte) (responses []protocol.Response) {
	t.Helper()
	frames := protocol.NewReader(bytes.NewReader(stdout), 0)
	for {
		body, err := frames.ReadFrame()
		if err == io.EOF {
			return responses
		}
		if err != nil {
			t.Fatal(err)
		}
		var r protocol.Response
		if err := protocol.DecodeResponse(bytes.Clone(body), &r); err != nil {
			t.Fatal(err)
		}
		responses = append(responses, r)
	}
}

func execute(pkg, task string, args ...any) []byte {
	return protocol.AppendExecute(nil, pkg, task, tasktest.Context(), tasktest.Inputs(args...))
}

func concat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func vector(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("../../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct{ Name, Hex string }
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, v := range vectors {
		if v.Name == name {
			b, err := hex.DecodeString(v.Hex)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("no vector %s", name)
	return nil
}

func TestVectorsRun(t *testing.T) {
	t.Parallel()
	stdout, stderr, status := raw(t, concat(
		vector(t, "frame/execute_fibonacci_10"),
		vector(t, "frame/execute_always_fail"),
		vector(t, "frame/execute_commit_1_2_3"),
		vector(t, "frame/execute_empty_fields"),
		vector(t, "frame/shutdown"),
	))
	if status != 0 || stderr != "" {
		t.Errorf("exit status %d, stderr %q; want 0 and silence", status, stderr)
	}
	got := answers(t, stdout)
	if len(got) != 4 {
		t.Fatalf("%d answers, want 4", len(got))
	}
	if want := vector(t, "outputs/one_value_u64_55"); !bytes.Equal(got[0].Outcome.Payload, want) {
		t.Errorf("fibonacci(10) = %x, want %x", got[0].Outcome.Payload, want)
	}
	for i, text := range []string{"always_fail", "sum to zero", "is empty"} {
		failure, err := protocol.DecodeExecutorError(got[i+1].Outcome.Payload)
		if err != nil || !got[i+1].Outcome.Failure || !strings.Contains(failure.Error(), text) {
			t.Errorf("answer %d: %v, %v; want a failure with %q", i+1, failure, err, text)
		}
	}
}

func TestPackageDirUnset(t *testing.T) {
	t.Parallel()
	for _, set := range []bool{false, true} {
		cmd := exec.Command(built.Executor)
		cmd.Env = cleanEnv()
		if set {
			cmd.Env = append(cmd.Env, "SPIDER_TDL_PACKAGE_DIR=")
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		// Nobody ever writes to stdin or closes it: it must not be read.
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, _ := cmd.Output()
		stdin.Close()
		if cmd.ProcessState.ExitCode() != 1 || len(out) > 0 {
			t.Errorf("exit status %d, stdout %q; want 1 and nothing", cmd.ProcessState.ExitCode(), out)
		}
		if line := stderr.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, "SPIDER_TDL_PACKAGE_DIR") {
			t.Errorf("stderr is not one line that names the variable: %q", line)
		}
	}
}

func TestEndsInGoodOrder(t *testing.T) {
	t.Parallel()
	for name, stdin := range map[string][]byte{
		"closed at once":        nil,
		"closed after requests": execute("misbehave", "getpid"),
		"shutdown":              protocol.AppendShutdown(nil),
		"shutdown, more behind": concat(protocol.AppendShutdown(nil), []byte("not read")),
		// What an exit handler of a package does is no reason to hang.
		"exit handler that blocks": concat(execute("misbehave", "atexit_block"), protocol.AppendShutdown(nil)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, stderr, status := raw(t, stdin)
			if status != 0 || stderr != "" {
				t.Errorf("exit status %d, stderr %q; want 0 and silence", status, stderr)
			}
		})
	}
}

func TestProtocolDamage(t *testing.T) {
	t.Parallel()
	frame := func(body ...byte) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	}
	request := execute("misbehave", "getpid")
	badUTF8 := bytes.Replace(request, []byte("getpid"), []byte("getp\xff\xfe"), 1)
	cases := map[string]struct {
		stdin []byte
		says  string
	}{
		"EOF inside a header":   {[]byte{0, 0}, "header"},
		"EOF inside a body":     {request[:len(request)-1], "body"},
		"oversize header":       {[]byte{0, 0x80, 0, 1}, "8388609"},
		"largest header":        {[]byte{0xff, 0xff, 0xff, 0xff}, "4294967295"},
		"empty frame":           {frame(), "Request"},
		"short tag":             {frame(1, 0, 0), "Request"},
		"bad tag":               {frame(2, 0, 0, 0), "2"},
		"length past the end":   {frame(0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 'x'), "package"},
		"length beyond 63 bits": {frame(0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "package"},
		"bad UTF-8":             {badUTF8, "UTF-8"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// An answer that was written before stands.
			stdout, stderr, status := raw(t, concat(request, c.stdin))
			if status != 1 {
				t.Errorf("exit status %d, want 1", status)
			}
			if n := len(answers(t, stdout)); n != 1 {
				t.Errorf("%d answers, want 1", n)
			}
			var line struct{ Time, Level, Message string }
			if err := json.Unmarshal([]byte(stderr), &line); err != nil || strings.Count(stderr, "\n") != 1 {
				t.Fatalf("stderr is not one JSON line (%v): %s", err, stderr)
			}
			if line.Level != "ERROR" || line.Time == "" || !strings.Contains(line.Message, c.says) || !strings.Contains(line.Message, "request 2") {
				t.Errorf("log line does not say what and where (%q): %s", c.says, stderr)
			}
		})
	}
}

func TestLargestFrame(t *testing.T) {
	t.Parallel()
	t.Run("pipe", func(t *testing.T) {
		t.Parallel()
		testLargestFrame(t, -1)
	})
	// It makes no difference where the payload is.
	t.Run("shared memory", func(t *testing.T) {
		t.Parallel()
		testLargestFrame(t, 0)
	})
}

func testLargestFrame(t *testing.T, maxPayload int) {
	e := start(t, func(cfg *pool.ProcessConfig) { cfg.MaxPayload = maxPayload })
	// A request of exactly 8 MiB, answered with its own inputs.
	request := pool.Request{Package: "misbehave", Task: "echo", Context: tasktest.Context()}
	request.Inputs = make([]byte, protocol.DefaultMaxFrame-protocol.ExecuteSize(len("misbehave"), len("echo"), len(request.Context), 0))
	result, err := e.Execute(request, patience)
	if err != nil || !bytes.Equal(result.Outputs, request.Inputs) {
		t.Errorf("a request of 8 MiB: %v, %d bytes of outputs", err, len(result.Outputs))
	}
	request.Inputs = append(request.Inputs, 0)
	var tooLarge *pool.TooLargeError
	if _, err := e.Execute(request, patience); !errors.As(err, &tooLarge) {
		t.Errorf("a request of 8 MiB and a byte: %v", err)
	}

	out := e.must("output_bytes", uint64(protocol.DefaultMaxFrame-protocol.ResponseSize(0)))
	if size := protocol.ResponseSize(len(out)); size != protocol.DefaultMaxFrame {
		t.Errorf("response of %d bytes", size)
	}
	_, err = e.run("output_bytes", uint64(protocol.DefaultMaxFrame-protocol.ResponseSize(0)+1))
	e.wantFailure(err, "TaskError", "serialization error", "8388609", "8388608")
	_, err = e.run("fail_huge", uint64(protocol.DefaultMaxFrame))
	e.wantFailure(err, "TaskError", "serialization error", "8388608")
	_, err = e.run("output_bytes", uint64(64<<20))
	e.wantFailure(err, "TaskError", "serialization error")
	// The process lives on.
	if e.number("getpid") != uint64(e.PID()) {
		t.Error("another process answers")
	}
}

func TestLogLevel(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env  []string
		says bool
	}{
		{nil, false},
		{[]string{"SPIDER_LOG=info"}, true},
		{[]string{"SPIDER_LOG=warn", "RUST_LOG=debug"}, false},
		{[]string{"RUST_LOG=info"}, true},
		{[]string{"RUST_LOG=hyper=trace,info,tokio::net=warn"}, true},
		{[]string{"RUST_LOG=spider=debug"}, false},
		{[]string{"RUST_LOG=%%%,=,,"}, false},
		{[]string{"SPIDER_LOG=nonsense"}, false},
	} {
		t.Run(strings.Join(c.env, " "), func(t *testing.T) {
			t.Parallel()
			_, stderr, status := raw(t, nil, c.env...)
			if status != 0 {
				t.Fatalf("exit status %d", status)
			}
			if got := strings.Contains(stderr, `"level":"INFO"`) && strings.Contains(stderr, `"message":`); got != c.says {
				t.Errorf("stderr %q; want log lines: %v", stderr, c.says)
			}
		})
	}
}
