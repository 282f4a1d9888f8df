package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/monitor"
	"github.com/spider-go/spider/internal/record"
	"github.com/spider-go/spider/internal/tasktest"
)

// mapped is a spider map that runs.
type mapped struct {
	*exec.Cmd
	in     *os.File // its stdin
	out    *bufio.Reader
	stderr *bufio.Reader
}

// startMap starts the program as built, which is quicker than this one, without a
// terminal. Its stdin is a pipe, and so are its outputs.
func startMap(t *testing.T, built tasktest.Built, args ...string) *mapped {
	t.Helper()
	heedSignals(t, syscall.SIGINT, syscall.SIGTERM)
	m := &mapped{Cmd: exec.Command(built.Spider, append([]string{"map", "--package-dir", built.Packages}, args...)...)}
	in, theirs, err := pipes()
	if err != nil {
		t.Fatal(err)
	}
	m.in, m.Stdin = in, theirs
	out, err := m.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := m.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	m.out, m.stderr = bufio.NewReaderSize(out, 1<<20), bufio.NewReader(stderr)
	t.Cleanup(func() {
		m.in.Close()
		_ = m.Process.Kill()
		_ = m.Wait()
	})
	return m
}

func pipes() (ours, theirs *os.File, err error) {
	theirs, ours, err = os.Pipe()
	return ours, theirs, err
}

// next reads one record.
func (m *mapped) next(t *testing.T) record.Record {
	t.Helper()
	line, err := m.out.ReadBytes('\n')
	var r record.Record
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err != nil || r.Index == nil {
		rest, _ := io.ReadAll(m.stderr)
		t.Fatalf("record %q: %v; stderr %s", line, err, rest)
	}
	return r
}

// status waits for the end; what is left on stdout and stderr is returned.
func (m *mapped) status(t *testing.T) (status int, out, stderr string) {
	t.Helper()
	rest, err := io.ReadAll(m.out)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(m.stderr)
	if err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := m.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return m.ProcessState.ExitCode(), string(rest), string(text)
}

// A map that is killed at any moment, again and again, has each input in its file once
// in the end.
func TestMapKilled(t *testing.T) {
	t.Parallel()
	built := build(t)
	dir := t.TempDir()
	out, input := filepath.Join(dir, "out"), filepath.Join(dir, "in")
	const inputs = 200
	var text strings.Builder
	for i := range inputs {
		fmt.Fprintln(&text, i)
	}
	if err := os.WriteFile(input, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for kill := 7; ; kill += 40 {
		// Each task says on stderr that it runs.
		m := startMap(t, built, "--lines", "--input", input, "--resume", out, "misbehave", "print_stderr")
		for range kill {
			if _, err := m.stderr.ReadString('\n'); err != nil {
				break
			}
		}
		if kill < inputs {
			if err := m.Process.Signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		status, _, stderr := m.status(t)
		if status == 0 {
			break
		}
		if status != -1 {
			t.Fatalf("status %d: %s", status, stderr)
		}
	}
	content, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int64]bool{}
	for line := range bytes.Lines(content) {
		var r record.Record
		if err := json.Unmarshal(line, &r); err != nil || r.Outcome != record.OK || seen[*r.Index] || string(r.Args) != fmt.Sprintf(`["%d"]`, *r.Index) {
			t.Fatalf("%s: %v", line, err)
		}
		seen[*r.Index] = true
	}
	if len(seen) != inputs {
		t.Errorf("%d inputs", len(seen))
	}
}

// Ctrl-C: what is done is written, what runs is killed, nothing is left.
func TestMapStopped(t *testing.T) {
	t.Parallel()
	built := build(t)
	m := startMap(t, built, "--unordered", "--jobs", "2", "misbehave", "sleep_ms")
	// stdin stays open: it is not the end of the inputs that ends the map.
	if _, err := io.WriteString(m.in, "[100000000]\n[0]\n[1]\n"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int64{1, 2} {
		if r := m.next(t); *r.Index != want || r.Outcome != record.OK {
			t.Errorf("%+v", r)
		}
	}
	executors := children(t, m.Process.Pid)
	if len(executors) < 2 {
		t.Errorf("executors %v", executors)
	}
	if err := m.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	status, out, stderr := m.status(t)
	if want := "spider: stopped by signal SIGINT (interrupt): 2 done\n"; status != 130 || out != "" || stderr != want {
		t.Errorf("status %d, stdout %q, stderr %q", status, out, stderr)
	}
	for _, pid := range executors {
		if !gone(pid) {
			t.Errorf("executor %d lives on", pid)
		}
	}
}

// children are the processes that pid has started and that live.
func children(t *testing.T, pid int) (pids []int) {
	t.Helper()
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // of a thread that has ended
		}
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, child)
		}
	}
	return pids
}

// If nobody reads the output, the first Ctrl-C waits for that; the second does not.
func TestMapStoppedTwice(t *testing.T) {
	t.Parallel()
	built := build(t)
	input := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(input, bytes.Repeat([]byte("[0]\n"), 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	m := startMap(t, built, "--window", "2000", "--input", input, "misbehave", "echo")
	if r := m.next(t); *r.Index != 0 {
		t.Fatalf("%+v", r)
	}
	// It is stuck when two looks find the same.
	client := watch(t, m.Process.Pid)
	for before := int64(-1); ; {
		s, err := client.Next()
		if err != nil {
			t.Fatal(err)
		}
		if s.Done == before && s.Waiting >= 2000 {
			break
		}
		before = s.Done
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	ended := make(chan error)
	go func() {
		_, err := m.Process.Wait()
		ended <- err
	}()
	for first := true; ; first = false {
		if err := m.Process.Signal(syscall.SIGINT); err != nil && first {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
			return
		case <-again.C:
		}
	}
}

// watch connects to a map as spider top does, once it listens.
func watch(t *testing.T, pid int) *monitor.Client {
	t.Helper()
	for {
		for _, socket := range monitor.List() {
			if socket.PID != pid {
				continue
			}
			if client, err := monitor.Dial(socket.Path); err == nil {
				t.Cleanup(func() { client.Close() })
				return client
			}
		}
		if gone(pid) {
			t.Fatal("the map has ended")
		}
		time.Sleep(time.Millisecond)
	}
}

// Endless input takes no more memory than a little.
func TestMapMemory(t *testing.T) {
	t.Parallel()
	built := build(t)
	m := startMap(t, built, "misbehave", "echo")
	written := make(chan error)
	go func() {
		// Until the map has ended.
		block := bytes.Repeat([]byte(`["some text of the input", {"and": [1, 2, 3]}]`+"\n"), 1000)
		var err error
		for err == nil {
			_, err = m.in.Write(block)
		}
		written <- err
	}()
	read := func(n int64) (peak int64) {
		for i := range n {
			if r := m.next(t); r.Outcome != record.OK {
				t.Fatalf("record %d: %+v", i, r)
			}
		}
		return peakMemory(t, m.Process.Pid)
	}
	before := read(15_000)
	after := read(45_000)
	if grown := after - before; grown > 8<<20 {
		t.Errorf("grew from %d to %d bytes", before, after)
	}
	if err := m.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status, _, stderr := m.status(t); status != 143 || !strings.Contains(stderr, "stopped by signal SIGTERM") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
	if err := <-written; !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
}

// peakMemory is the largest resident memory that a process has had, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// A client of the monitor that does not read does not keep the map back.
func TestMapHungClient(t *testing.T) {
	t.Parallel()
	built := build(t)
	m := startMap(t, built, "--jobs", "1", "misbehave", "sleep_ms")
	if _, err := io.WriteString(m.in, "[0]\n"); err != nil {
		t.Fatal(err)
	}
	m.next(t)
	watch(t, m.Process.Pid) // and never reads
	m.in.Close()
	if status, _, stderr := m.status(t); status != 0 || stderr != "" {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

// Every file of a source tree, with inputs among them that crash, hang and fail: each
// has its record, in its place, and every sum is right.
func TestMapTree(t *testing.T) {
	t.Parallel()
	built := build(t)
	var inputs []string
	want := map[int]record.Outcome{}
	sums := map[int]string{}
	for _, root := range []string{"../../pool", "../../tdl", "../../internal", "../../docs"} {
		err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum := uint64(0)
			for _, b := range text {
				sum += uint64(b)
			}
			want[len(inputs)], sums[len(inputs)] = record.OK, strconv.FormatUint(sum, 10)
			inputs = append(inputs, path)
			switch len(inputs) % 60 {
			case 10:
				want[len(inputs)] = record.Crash
				inputs = append(inputs, path+".crash")
			case 20:
				want[len(inputs)] = record.TaskError
				inputs = append(inputs, path+".fail")
			case 30:
				want[len(inputs)] = record.Crash
				inputs = append(inputs, path+".exit")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		want[len(inputs)] = record.Timeout
		inputs = append(inputs, fmt.Sprintf("%d.hang", i))
	}
	m := startMap(t, built, "--jobs", "4", "--timeout", "2s", "--null", "misbehave", "sum_file")
	go func() {
		_, _ = io.WriteString(m.in, strings.Join(inputs, "\x00"))
		m.in.Close()
	}()
	failed := 0
	for i, path := range inputs {
		r := m.next(t)
		if *r.Index != int64(i) || r.Outcome != want[i] {
			t.Fatalf("input %d, %s: %+v", i, path, r)
		}
		if r.Outcome == record.OK && string(r.Results[0]) != sums[i] {
			t.Errorf("input %d, %s: %s, want %s", i, path, r.Results, sums[i])
		}
		if r.Outcome != record.OK {
			failed++
		}
	}
	status, out, stderr := m.status(t)
	if text := fmt.Sprintf("spider: %d of %s failed: ", failed, grouped(int64(len(inputs)))); status != 1 || out != "" || !strings.HasPrefix(stderr, text) {
		t.Errorf("status %d, stdout %q, stderr %q, want %s", status, out, stderr, text)
	}
}

// A map that serves as many as it does at once is not taken for none.
func TestTopFull(t *testing.T) {
	t.Parallel()
	built := build(t)
	m := startMap(t, built, "misbehave", "echo")
	pid := m.Process.Pid
	var clients int
	for client := watch(t, pid); ; client = watch(t, pid) {
		_, err := client.Next()
		if err == nil {
			clients++
			continue
		}
		var full *monitor.FullError
		if !errors.As(err, &full) || full.PID != pid || full.Clients != clients {
			t.Fatalf("after %d: %v", clients, err)
		}
		break
	}
	want := fmt.Sprintf("spider: map %d is watched by %d others, and serves no more: end one of them\n", pid, clients)
	for _, args := range [][]string{{"--once"}, {"--json"}} {
		top := exec.Command(built.Spider, append(append([]string{"top"}, args...), strconv.Itoa(pid))...)
		var out, stderr bytes.Buffer
		top.Stdout, top.Stderr = &out, &stderr
		err := top.Run()
		if top.ProcessState.ExitCode() != 1 || out.Len() > 0 || stderr.String() != want {
			t.Errorf("%v: %v, %s%s", args, err, &out, &stderr)
		}
	}
	v := startTerminal(t, 100, 24, built.Spider, "top", strconv.Itoa(pid))
	if status := v.end(t); status != 1 || !strings.Contains(v.screen(), strings.TrimSpace(want)) {
		t.Errorf("status %d, screen\n%s", status, v.screen())
	}
}
