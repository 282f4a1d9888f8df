package main

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is a program on a terminal of its own, and what that shows.
type terminal struct {
	*exec.Cmd
	file    *os.File
	changed chan struct{} // holds one

	mu      sync.Mutex
	lines   [][]rune
	row     int
	column  int
	width   int
	other   bool // the other screen is shown
	shown   bool // the cursor is
	unknown string
	all     bytes.Buffer
	ended   bool
}

func startTerminal(t *testing.T, width, height int, program string, args ...string) *terminal {
	t.Helper()
	v := &terminal{Cmd: exec.Command(program, args...), changed: make(chan struct{}, 1), width: width, shown: true}
	v.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=")
	var err error
	if v.file, err = pty.StartWithSize(v.Cmd, &pty.Winsize{Rows: uint16(height), Cols: uint16(width)}); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 64<<10)
		var text []byte
		for {
			n, err := v.file.Read(b)
			v.mu.Lock()
			v.all.Write(b[:n])
			text = v.take(append(text, b[:n]...))
			v.ended = err != nil // EIO, when the program has ended
			v.mu.Unlock()
			select {
			case v.changed <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = v.Process.Kill()
		_ = v.Wait()
		v.file.Close()
		<-read
		if v.unknown != "" {
			t.Errorf("the terminal was sent %q", v.unknown)
		}
	})
	return v
}

var sequence = regexp.MustCompile(`^\x1b\[(\??)([0-9;]*)([A-Za-z])`)

// take shows text and returns what is not yet whole. v.mu is held.
func (v *terminal) take(text []byte) []byte {
	for len(text) > 0 {
		if text[0] == '\x1b' {
			m := sequence.FindSubmatch(text)
			if m == nil {
				if len(text) < 12 {
					return text
				}
				v.unknown = string(text[:12])
				return nil
			}
			text = text[len(m[0]):]
			v.obey(string(m[1])+string(m[2])+string(m[3]), string(m[0]))
			continue
		}
		n := 1
		for n < len(text) && text[n]&0xc0 == 0x80 {
			n++
		}
		if n == len(text) && text[0] >= 0xc0 && !strings.ContainsRune("…", []rune(string(text))[0]) {
			return text
		}
		r := []rune(string(text[:n]))[0]
		text = text[n:]
		switch {
		case r == '\r':
			v.column = 0
		case r == '\n':
			v.row++
		case r < ' ':
			v.unknown = string(r)
		case v.column < v.width:
			for len(v.lines) <= v.row {
				v.lines = append(v.lines, nil)
			}
			line := v.lines[v.row]
			for len(line) <= v.column {
				line = append(line, ' ')
			}
			line[v.column] = r
			v.lines[v.row] = line
			v.column++
		}
	}
	return nil
}

func (v *terminal) obey(what, raw string) {
	switch {
	case what == "K":
		if v.row < len(v.lines) && v.column < len(v.lines[v.row]) {
			v.lines[v.row] = v.lines[v.row][:v.column]
		}
	case what == "J":
		v.obey("K", raw)
		if v.row+1 < len(v.lines) {
			v.lines = v.lines[:v.row+1]
		}
	case what == "H":
		v.row, v.column = 0, 0
	case what == "?1049h", what == "?1049l":
		v.other = what == "?1049h"
		v.lines, v.row, v.column = nil, 0, 0
	case what == "?25h", what == "?25l":
		v.shown = what == "?25h"
	case what == "?7h", what == "?7l", strings.HasSuffix(what, "m"):
	default:
		v.unknown = raw
	}
}

// screen is what there is to be seen, without what is right of it.
func (v *terminal) screen() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var lines []string
	for _, line := range v.lines {
		lines = append(lines, strings.TrimRight(string(line), " "))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// await waits until the screen matches.
func (v *terminal) await(t *testing.T, pattern string) string {
	t.Helper()
	return v.awaitThat(t, pattern, regexp.MustCompile(`(?s)`+pattern).MatchString)
}

func (v *terminal) awaitThat(t *testing.T, what string, is func(screen string) bool) string {
	t.Helper()
	for {
		screen := v.screen()
		if is(screen) {
			return screen
		}
		v.mu.Lock()
		ended := v.ended
		v.mu.Unlock()
		if ended {
			t.Fatalf("it has ended without %s, with the screen\n%s", what, screen)
		}
		<-v.changed
	}
}

// end waits for the program's end and returns its exit status.
func (v *terminal) end(t *testing.T) int {
	t.Helper()
	for {
		v.mu.Lock()
		ended := v.ended
		v.mu.Unlock()
		if ended {
			break
		}
		<-v.changed
	}
	_ = v.Wait()
	return v.ProcessState.ExitCode()
}

// mode is how the terminal treats what is typed.
func (v *terminal) mode(t *testing.T) unix.Termios {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(v.file.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *state
}

// The line of progress, with what tasks print above it, at two widths; afterwards it is
// gone.
func TestMapOnTerminal(t *testing.T) {
	t.Parallel()
	built := build(t)
	dir := t.TempDir()
	input, gate := filepath.Join(dir, "in"), filepath.Join(dir, "gate.hang")
	// The last one hangs, so that there is time to look.
	text := "/dev/null\n/etc/passwd\n" + filepath.Join(dir, "no\x1b[2Jthing") + "\nx.crash\n" + gate + "\n"
	if err := os.WriteFile(input, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	v := startTerminal(t, 72, 24, built.Spider, "map", "--package-dir", built.Packages, "--jobs", "1", "--lines", "--input", input, "--resume", filepath.Join(dir, "out"),
		"misbehave", "sum_file")
	screen := v.await(t, `4 of 5`)
	if !regexp.MustCompile(`(?m)^\[=+> +\]  80%  4 of 5  2 failed  [0-9.]+/s  (for \d+s|\d+s left)$`).MatchString(screen) {
		t.Errorf("screen\n%s", screen)
	}
	if err := pty.Setsize(v.file, &pty.Winsize{Rows: 24, Cols: 30}); err != nil {
		t.Fatal(err)
	}
	v.await(t, `(?m)^4 of 5  2 failed  (for \d+s|\d+s left)$`)
	// Ctrl-C, as the terminal sends it.
	if _, err := v.file.Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
	if status := v.end(t); status != 130 {
		t.Errorf("status %d", status)
	}
	// The terminal itself shows ^C.
	if screen := v.screen(); !regexp.MustCompile(`^(\^C)?spider: stopped by signal SIGINT \(interrupt\): 4 of 5 done, 2 of`).MatchString(screen) {
		t.Errorf("screen\n%s", screen)
	}

	v = startTerminal(t, 100, 24, built.Spider, "map", "--package-dir", built.Packages, "--files", "/etc/passwd", "misbehave", "sum_file")
	v.end(t)
	if screen := v.screen(); !regexp.MustCompile(`\nspider: 1 done in [0-9.]+[µm]?s, [0-9.,]+/s$`).MatchString(screen) {
		t.Errorf("screen\n%s", screen)
	}
	v = startTerminal(t, 100, 24, built.Spider, "map", "--no-progress", "--package-dir", built.Packages, "--files", "/etc/passwd", "misbehave", "sum_file")
	v.end(t)
	if screen := v.screen(); strings.Contains(screen, "spider:") {
		t.Errorf("screen\n%s", screen)
	}
}

// Where records go to the terminal too, they are not mixed with progress.
func TestRecordsOnTerminal(t *testing.T) {
	t.Parallel()
	built := build(t)
	input := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(input, []byte("[1]\n[600]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v := startTerminal(t, 400, 24, built.Spider, "map", "--package-dir", built.Packages, "--input", input, "misbehave", "sleep_ms")
	v.end(t)
	if screen := v.screen(); !regexp.MustCompile(`^\{"index":0,[^\n]+\}\n\{"index":1,[^\n]+\}\nspider: 2 done in [0-9.]+m?s, [0-9.,]+/s; the slowest, input 1, took [0-9.]+m?s$`).MatchString(screen) {
		t.Errorf("screen\n%s", screen)
	}
}

// What tasks print scrolls by above the line of progress, and cannot move the cursor.
func TestTaskLinesOnTerminal(t *testing.T) {
	t.Parallel()
	built := build(t)
	dir := t.TempDir()
	in := filepath.Join(dir, "in")
	if err := syscall.Mkfifo(in, 0o600); err != nil {
		t.Fatal(err)
	}
	v := startTerminal(t, 60, 24, built.Spider, "map", "--package-dir", built.Packages, "--lines", "--input", in, "--resume", filepath.Join(dir, "out"), "misbehave", "print_stderr")
	w, err := os.OpenFile(in, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := io.WriteString(w, "first\n"); err != nil {
		t.Fatal(err)
	}
	v.await(t, `^\[0\] first\n1  [0-9.]+/s  for \ds$`)
	if _, err := io.WriteString(w, "bad \x1b[2J\n"); err != nil {
		t.Fatal(err)
	}
	v.await(t, `^\[0\] first\n\[1\] bad \\u001b\[2J\n2  [0-9.]+/s  for \ds$`)
	w.Close()
	if status := v.end(t); status != 0 {
		t.Errorf("status %d", status)
	}
}

// spider top: the screen, another size, a map that ends, q.
func TestTop(t *testing.T) {
	t.Parallel()
	built := build(t)
	m := startMap(t, built, "--jobs", "2", "--unordered", "misbehave", "sum_file", "{}")
	for _, line := range []string{`["/etc/passwd"]`, `["x.crash"]`, `["` + strings.Repeat("long/", 30) + `.hang"]`, `["\u001b[2J.hang"]`} {
		if _, err := io.WriteString(m.in, line+"\n"); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		m.next(t)
	}
	pid := strconv.Itoa(m.Process.Pid)

	v := startTerminal(t, 90, 24, built.Spider, "top", pid)
	screen := v.await(t, `#[23] .*#[23] .*x.crash`)
	for _, want := range []string{
		`^spider top: 1 map running +q: quit\n\nmap ` + pid + `  misbehave sum_file  for \d+s  2 jobs\n`,
		`\n  2  1 failed  [0-9.]+/s  for \d+s\n`,
		`\n  NO     PID  STATE     FOR   MEMORY     TASKS  INPUT\n`,
		`\n +\d+ +\d+  running  +\S+ +[0-9.]+ [KM]iB +\d+  #2 \["long/long/[^\n]*…\n`,
		`\n +\d+ +\d+  running  +\S+ +[0-9.]+ [KM]iB +\d+  #3 \["\\u001b\[2J\.hang"\]\n`,
		`\n  failed: 1 crashed \(SIGSEGV\)\n +\d+s ago  crashed \(SIGSEGV\)  #1 \["x\.crash"\]$`,
	} {
		if !regexp.MustCompile(want).MatchString(screen) {
			t.Errorf("no %s on the screen\n%s", want, screen)
		}
	}
	if !v.other || v.shown {
		t.Error("it is not the other screen, or has a cursor")
	}
	// Any size will do.
	for _, size := range [][2]int{{40, 8}, {20, 3}, {5, 2}, {1, 1}, {200, 60}, {90, 24}} {
		v.mu.Lock()
		v.width = size[0]
		v.mu.Unlock()
		if err := pty.Setsize(v.file, &pty.Winsize{Cols: uint16(size[0]), Rows: uint16(size[1])}); err != nil {
			t.Fatal(err)
		}
		v.awaitThat(t, fmt.Sprintf("fits %v", size), func(screen string) bool {
			lines := strings.Split(screen, "\n")
			head := []rune(lines[0])
			whole := size[0] < 40 && strings.HasSuffix(lines[0], "…") || strings.HasSuffix(lines[0], "q: quit")
			return len(lines) <= size[1] && len(head) == size[0] && whole &&
				!slices.ContainsFunc(lines, func(l string) bool { return len([]rune(l)) > size[0] })
		})
	}
	// The map ends: top says so, and ends too.
	if err := m.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := v.end(t); status != 0 {
		t.Errorf("status %d", status)
	}
	screen = v.screen()
	if want := fmt.Sprintf("map %s, misbehave sum_file, has ended: stopped by signal SIGTERM (terminated)", pid); !strings.HasPrefix(screen, want) {
		t.Errorf("screen\n%s", screen)
	}
	if v.other || !v.shown {
		t.Error("the terminal is not as it was")
	}
	if now := v.mode(t); now.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != unix.ICANON|unix.ECHO|unix.ISIG {
		t.Errorf("the terminal's mode is %+v", now)
	}
}

// Keys and signals end top, with the terminal as it was, and the map goes on.
func TestTopEnds(t *testing.T) {
	t.Parallel()
	built := build(t)
	m := startMap(t, built, "misbehave", "sleep_ms")
	watch(t, m.Process.Pid).Close()
	pid := strconv.Itoa(m.Process.Pid)
	for _, test := range []struct {
		name string
		end  func(v *terminal) error
		want int
	}{
		{"q", func(v *terminal) error { _, err := v.file.Write([]byte("q")); return err }, 0},
		{"Ctrl-C", func(v *terminal) error { _, err := v.file.Write([]byte{3}); return err }, 0},
		{"SIGINT", func(v *terminal) error { return v.Process.Signal(syscall.SIGINT) }, 0},
		{"SIGTERM", func(v *terminal) error { return v.Process.Signal(syscall.SIGTERM) }, 143},
	} {
		v := startTerminal(t, 80, 24, built.Spider, "top", pid)
		v.await(t, `map `+pid)
		if err := test.end(v); err != nil {
			t.Fatal(err)
		}
		if status := v.end(t); status != test.want || v.other || !v.shown {
			t.Errorf("%s: status %d, other screen %v, cursor %v", test.name, status, v.other, v.shown)
		}
		if now := v.mode(t); now.Lflag&unix.ICANON == 0 || now.Lflag&unix.ECHO == 0 {
			t.Errorf("%s: mode %+v", test.name, now)
		}
	}
	if _, err := io.WriteString(m.in, "[0]\n"); err != nil {
		t.Fatal(err)
	}
	m.next(t)
}

func TestProgressLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		p     progress
		width int
		want  string
	}{
		{progress{done: 4312, total: 10012, rate: 1204, failed: 3}, 80, "[===========>               ]  43%  4,312 of 10,012  3 failed  1,204/s  5s left"},
		{progress{done: 4312, total: 10012, rate: 1204, failed: 3}, 50, "4,312 of 10,012  3 failed  1,204/s  5s left"},
		{progress{done: 4312, total: 10012, rate: 1204, failed: 3}, 30, "4,312 of 10,012  3 failed"},
		{progress{done: 4312, total: 10012, rate: 1204, failed: 3}, 10, "4,312"},
		{progress{done: 4312, total: 10012}, 3, ""},
		{progress{done: 7, rate: 0.25, took: 3723e9}, 80, "7  0.2/s  for 1h02m"},
		{progress{done: 5, total: 5, rate: 1}, 60, "[============================] 100%  5 of 5  1.0/s  0s left"},
		// More than there were when they were counted.
		{progress{done: 6, total: 5, rate: 1, took: 1e9}, 60, "[=============================] 100%  6 of 5  1.0/s  for 1s"},
	} {
		if got := test.p.line(test.width, style{}); got != test.want || len(got) >= test.width && got != "" {
			t.Errorf("%+v in %d: %q, want %q", test.p, test.width, got, test.want)
		}
	}
}

func TestByteSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 bytes", 1023: "1023 bytes", 1024: "1.0 KiB", 15872: "15.5 KiB", 102_300: "99.9 KiB", 102_400: "100 KiB",
		1<<20 - 512: "1.0 MiB", 1<<20 - 513: "1023 KiB", 8 << 20: "8.0 MiB", 5 << 30: "5.0 GiB", math.MaxInt64: "8.0 EiB",
	} {
		if got := byteSize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int64]string{0: "0s", 59: "59s", 60: "1m00s", 3599: "59m59s", 3600: "1h00m", 360_000: "4d04h"} {
		if got := clock(time.Duration(seconds) * time.Second); got != want {
			t.Errorf("%d: %s, want %s", seconds, got, want)
		}
	}
}
