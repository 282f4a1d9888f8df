package monitor

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// runtimeDir gives this test a directory of its own. Tests that use it are not parallel.
func runtimeDir(t *testing.T) string {
	t.Helper()
	// Not t.TempDir, which may be too long for a socket.
	dir, err := os.MkdirTemp("", "m")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	return dir
}

func snapshot() Snapshot {
	index := int64(41)
	return Snapshot{
		PID: os.Getpid(), Package: "p", Task: "t", Jobs: 2,
		Started: time.Unix(1000, 0).UTC(), Now: time.Unix(1010, 0).UTC(),
		Done: 42, Total: 90, Failed: 2, Rate: 4.2,
		Executors: []Executor{{Number: 1, PID: 7, State: "running", ForUS: 5, RSS: 1 << 20, Tasks: 9, Index: &index, Text: "<x>"}},
		Causes:    []Cause{{"crashed (SIGSEGV)", 2}},
		Lately:    []Failure{{Index: 3, Text: "[3]", Cause: "crashed (SIGSEGV)", Time: time.Unix(1009, 0).UTC()}},
	}
}

func listenHere(t *testing.T, snapshot func() Snapshot) *Server {
	t.Helper()
	s, err := Listen(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, path string) *Client {
	t.Helper()
	c, err := Dial(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Who connects is told at once, and then what has changed, and the end.
func TestWatch(t *testing.T) {
	dir := runtimeDir(t)
	var done atomic.Int64
	s := listenHere(t, func() Snapshot {
		now := snapshot()
		now.Done = done.Add(1)
		return now
	})
	want := []Socket{{os.Getpid(), filepath.Join(dir, "spider", socketName(os.Getpid()))}}
	found := slices.DeleteFunc(List(), func(s Socket) bool { return s.PID != os.Getpid() })
	if diff := cmp.Diff(want, found); diff != "" {
		t.Fatal(diff)
	}
	c := dial(t, s.Path())
	first, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	expected := snapshot()
	expected.Done = 1
	if diff := cmp.Diff(&expected, first); diff != "" {
		t.Error(diff)
	}
	if second, err := c.Next(); err != nil || second.Done != 2 || second.Ended {
		t.Errorf("%+v, %v", second, err)
	}
	last := snapshot()
	last.Message = "the end"
	s.Close(last)
	if got, err := c.Next(); err != nil || !got.Ended || got.Message != "the end" {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := c.Next(); err != io.EOF {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := os.Lstat(s.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// Clients that do not read, that talk, or that are too many, do no harm.
func TestHostileClients(t *testing.T) {
	runtimeDir(t)
	huge := snapshot()
	for range MaxExecutors {
		huge.Executors = append(huge.Executors, Executor{Text: strings.Repeat("\x01", 1000)})
	}
	s := listenHere(t, func() Snapshot { return huge })
	var turnedAway int
	for range 3 * maxClients {
		conn, err := net.Dial("unix", s.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.(*net.UnixConn).SetReadBuffer(1)
		go func() {
			for {
				if _, err := conn.Write(make([]byte, 1000)); err != nil {
					return
				}
			}
		}()
	}
	// Those that are turned away find that out; others get a snapshot. Once all have
	// gone or hang, there is an end to it all the same.
	for turnedAway == 0 {
		conn, err := net.Dial("unix", s.Path())
		if err != nil {
			t.Fatal(err)
		}
		client := &Client{conn, bufio.NewReaderSize(conn, maxLine)}
		var full *FullError
		if _, err := client.Next(); errors.As(err, &full) {
			turnedAway++
			if full.PID != os.Getpid() || full.Clients != maxClients {
				t.Errorf("%v", full)
			}
		}
		conn.Close()
	}
	start := time.Now()
	s.Close(huge)
	if took := time.Since(start); took > 20*lastPatience {
		t.Errorf("closed after %v", took)
	}
}

// What a killed map has left is removed; what is no such socket is left alone.
func TestStale(t *testing.T) {
	dir := filepath.Join(runtimeDir(t), "spider")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	dead := deadPID(t)
	stale := filepath.Join(dir, socketName(dead))
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	other := []string{"map-1.sock", "map-x.sock", "notes"}
	for _, name := range other {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// One of our own pid, of a process before.
	own := filepath.Join(dir, socketName(os.Getpid()))
	if err := os.WriteFile(own, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s := listenHere(t, snapshot)
	defer s.Close(snapshot())
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	want := append([]string{filepath.Base(own)}, other...)
	slices.Sort(want)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

// deadPID is of a process that has ended.
func deadPID(t *testing.T) int {
	t.Helper()
	p, err := os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	return p.Pid
}

// A directory that others may enter, or that is a link, is not used.
func TestUnsafeDirectory(t *testing.T) {
	for name, make := range map[string]func(dir string) error{
		"open":   func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)) },
		"a link": func(dir string) error { return os.Symlink(t.TempDir(), dir) },
		"a file": func(dir string) error { return os.WriteFile(dir, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(runtimeDir(t), "spider")
			if err := make(dir); err != nil {
				t.Fatal(err)
			}
			if l, err := listen(dir); err == nil {
				l.Close()
				t.Error("listens there")
			}
			if found := list(dir); found != nil {
				t.Errorf("found %v", found)
			}
		})
	}
	t.Run("of another user", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("only root can give a directory away")
		}
		dir := filepath.Join(runtimeDir(t), "spider")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 12345, -1)); err != nil {
			t.Fatal(err)
		}
		if err := check(dir); err == nil || !strings.Contains(err.Error(), "another user") {
			t.Errorf("%v", err)
		}
	})
	t.Run("too long", func(t *testing.T) {
		dir := filepath.Join(runtimeDir(t), strings.Repeat("x", maxPath))
		if l, err := listen(dir); err == nil {
			l.Close()
			t.Error("listens there")
		}
	})
}

// Any snapshot is cut to what fits into a line, and stays text.
func TestFit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("\x00", 10_000)
	s := snapshot()
	s.Package, s.Task, s.Message = long, long, long
	for range 1000 {
		s.Executors = append(s.Executors, Executor{State: long, Text: long})
		s.Causes = append(s.Causes, Cause{Text: long})
		s.Lately = append(s.Lately, Failure{Text: long, Cause: long})
	}
	text := line(s)
	if len(text) == 0 || len(text) > maxLine {
		t.Fatalf("%d bytes", len(text))
	}
	got, err := read(bufio.NewReaderSize(bytes.NewReader(text), maxLine))
	if err != nil || len(got.Executors) != MaxExecutors || got.More != 1001-MaxExecutors || len(got.Causes) != maxList {
		t.Errorf("%v", err)
	}
	if len(s.Executors[1].Text) != len(long) {
		t.Error("the caller's own has been changed")
	}
	if got := short(strings.Repeat("ü", 100)); !strings.HasSuffix(got, "ü...") || len(got) > maxText {
		t.Errorf("%q", got)
	}
	s.Rate = math.NaN()
	if text := line(s); text != nil {
		t.Errorf("%q", text)
	}
}

// Servers that are none are told apart, and cost no more than a line.
func TestNonsense(t *testing.T) {
	t.Parallel()
	good, err := json.Marshal(snapshot())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ text, want string }{
		{"", "EOF"},
		{string(good), "unexpected EOF"},
		{"hello\n", "no snapshot"},
		{"{}\n", "pid or start is missing"},
		{`{"pid":1,"started":"x"}` + "\n", "no snapshot"},
		{strings.Repeat("x", maxLine+1), "more than"},
		{`{"full":3}` + "\n", "pid or start is missing"},
		{`{"pid":7,"full":-3}` + "\n", "pid or start is missing"},
		{`{"pid":7,"full":3}` + "\n", "map 7 is watched by 3 others"},
		{string(good) + "\n", ""},
	} {
		_, err := read(bufio.NewReaderSize(strings.NewReader(test.text), maxLine))
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%.30q: %v, want %s", test.text, err, test.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(line(snapshot()))
	f.Add([]byte("{}\n"))
	f.Add(refusal())
	f.Add([]byte(`{"pid":1,"started":"2020-01-01T00:00:00Z","executors":[{},null]}` + "\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := read(bufio.NewReaderSize(bytes.NewReader(text), maxLine))
		if err != nil {
			return
		}
		if len(s.Executors) > MaxExecutors || len(s.Lately) > maxList || len(s.Causes) > maxList {
			t.Errorf("%+v", s)
		}
		again := line(*s)
		if again == nil {
			return // a number that is none
		}
		if _, err := read(bufio.NewReaderSize(bytes.NewReader(again), maxLine)); err != nil {
			t.Errorf("%s: %v", again, err)
		}
	})
}

// The process need not be able to use a directory at all.
func TestNowhere(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "relative")
	if dirs := directories(); len(dirs) != 1 || !strings.HasPrefix(dirs[0], "/tmp/spider-") {
		t.Errorf("%v", dirs)
	}
	if _, err := listen("/proc/spider"); err == nil {
		t.Error("listens in /proc")
	}
	if !errors.Is(check("/nowhere"), syscall.ENOENT) {
		t.Error("found /nowhere")
	}
}
