package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/spider-go/spider/internal/batch"
	"github.com/spider-go/spider/internal/monitor"
)

type topCommand struct {
	Once bool `help:"Print how it is now, and end."`
	JSON bool `name:"json" help:"The same as JSON: a line for each map."`

	PID int `arg:"" optional:"" name:"pid" help:"The map to watch, by the pid of its spider. Default: all of this user's."`
}

// Help is what spider top --help adds.
func (*topCommand) Help() string {
	return `Shows what each running spider map is at: how far it is, how fast, what has failed,
and of each executor its state, memory and input. q or Ctrl-C ends it, without any
effect on the map. Without a terminal on stdout it is as with --once.

A map is found by its socket, in $XDG_RUNTIME_DIR/spider or /tmp/spider-UID, which only
its user can enter.

Examples:

    spider top
    spider top --json | jq .rate

Exit status: 0 done; 1 no such map runs; 2 wrong usage.`
}

// Validate is called by kong, before Run.
func (c *topCommand) Validate() error {
	if c.PID < 0 {
		return fmt.Errorf("%d is no pid", c.PID)
	}
	return nil
}

// nothing says that there is nothing to watch.
func (c *topCommand) nothing() error {
	if c.PID == 0 {
		return &noError{"no spider map of this user is running"}
	}
	return &noError{fmt.Sprintf("no spider map of this user with pid %d is running", c.PID)}
}

// Run watches.
func (c *topCommand) Run(s *streams) error {
	out, ok := s.out.w.(*os.File)
	if c.Once || c.JSON || !ok || !isTerminal(out) || os.Getenv("TERM") == "dumb" {
		return c.once(s)
	}
	if len(c.sockets()) == 0 {
		return c.nothing()
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	t := &top{command: c, style: styleOf(s.color, out), cancel: cancel, maps: map[string]*watchedMap{}, full: map[string]*monitor.FullError{}, changed: make(chan struct{}, 1)}
	defer t.work.Wait()
	defer cancel(nil)
	t.follow(ctx)

	screen, err := openFullScreen(out)
	if err != nil {
		return err
	}
	defer screen.close()
	err = t.loop(ctx, s, screen)
	screen.close()
	for _, line := range t.farewell() {
		fmt.Fprintln(s.out, line)
	}
	return err
}

func (c *topCommand) sockets() []monitor.Socket {
	return slices.DeleteFunc(monitor.List(), func(s monitor.Socket) bool { return c.PID != 0 && s.PID != c.PID })
}

// once prints a snapshot of each map.
func (c *topCommand) once(s *streams) error {
	found := false
	var full []*monitor.FullError
	for _, socket := range c.sockets() {
		snapshot, err := look(socket)
		var one *monitor.FullError
		if errors.As(err, &one) {
			full = append(full, one)
		}
		if err != nil {
			continue // it is gone, or says nonsense
		}
		if c.JSON {
			text, err := json.Marshal(snapshot)
			if err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s\n", text)
		} else {
			if found {
				fmt.Fprintln(s.out)
			}
			v := mapView{snapshot: snapshot}
			for _, line := range v.lines(columns(s.out.w), 1000, style{}) {
				fmt.Fprintln(s.out, line)
			}
		}
		found = true
	}
	for i, one := range full {
		if !found && i == len(full)-1 {
			return &noError{one.Error()}
		}
		fmt.Fprintf(s.err, "spider: %v\n", one)
	}
	if !found {
		return c.nothing()
	}
	return nil
}

// look is one snapshot of a map.
func look(socket monitor.Socket) (*monitor.Snapshot, error) {
	client, err := monitor.Dial(socket.Path)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return client.Next()
}

// top watches maps, on a terminal.
type top struct {
	command *topCommand
	style   style
	cancel  context.CancelCauseFunc
	work    sync.WaitGroup
	changed chan struct{} // there is something new to show; holds one

	mu    sync.Mutex
	maps  map[string]*watchedMap        // by socket
	full  map[string]*monitor.FullError // those that serve no more, which are tried again
	ended []mapView                     // the latest last
}

// watchedMap is a map that runs. Nil snapshot: it has not said anything yet.
type watchedMap struct{ snapshot *monitor.Snapshot }

// keepEnded is how many maps that have ended stay in view.
const keepEnded = 3

// follow connects to the maps that there are and are not followed yet.
func (t *top) follow(ctx context.Context) {
	sockets := t.command.sockets()
	t.mu.Lock()
	for path := range t.full {
		if !slices.ContainsFunc(sockets, func(s monitor.Socket) bool { return s.Path == path }) {
			delete(t.full, path)
		}
	}
	t.mu.Unlock()
	for _, socket := range sockets {
		t.mu.Lock()
		known := t.maps[socket.Path] != nil
		t.mu.Unlock()
		if known {
			continue
		}
		client, err := monitor.Dial(socket.Path)
		if err != nil {
			continue
		}
		m := &watchedMap{}
		t.mu.Lock()
		t.maps[socket.Path] = m
		t.mu.Unlock()
		t.work.Go(func() {
			stop := context.AfterFunc(ctx, func() { client.Close() })
			defer stop()
			defer client.Close()
			t.read(ctx, client, socket, m)
		})
	}
}

// read reads what a map says until its end.
func (t *top) read(ctx context.Context, client *monitor.Client, socket monitor.Socket, m *watchedMap) {
	defer t.tell()
	for {
		snapshot, err := client.Next()
		if ctx.Err() != nil {
			return
		}
		t.mu.Lock()
		var full *monitor.FullError
		switch {
		case err == nil:
			m.snapshot = snapshot
			delete(t.full, socket.Path)
		case errors.As(err, &full):
			t.full[socket.Path] = full
		}
		if err != nil || snapshot.Ended {
			delete(t.maps, socket.Path)
			if m.snapshot != nil {
				v := mapView{snapshot: m.snapshot, ended: true}
				if err != nil {
					v.lost = "gone, without a word"
					if !errors.Is(err, io.EOF) {
						v.lost = "cannot be watched any more: " + err.Error()
					}
				}
				t.ended = append(t.ended, v)
				t.ended = t.ended[max(0, len(t.ended)-keepEnded):]
			}
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		t.tell()
	}
}

func (t *top) tell() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// loop draws until there is a reason to end: nil is a good one.
func (t *top) loop(ctx context.Context, s *streams, screen *fullScreen) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGWINCH, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if in, ok := s.in.(*os.File); ok && isTerminal(in) {
		t.work.Go(func() { t.keys(ctx, in) })
	}
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		width, height := screen.size()
		if err := screen.draw(t.lines(width, height)); err != nil {
			return &outputError{err}
		}
		if t.command.PID != 0 && t.over() {
			return t.unserved()
		}
		select {
		case <-ctx.Done():
			return nil
		case sig := <-signals:
			switch sig {
			case syscall.SIGINT:
				return nil
			case syscall.SIGTERM, syscall.SIGHUP:
				return &interruptError{sig.(syscall.Signal)}
			}
		case <-look.C:
			t.follow(ctx)
		case <-t.changed:
		}
	}
}

// over tells that there is nothing to watch any more.
func (t *top) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.maps) == 0
}

// unserved is why nothing has been seen of the one map that was asked for; nil if it has.
func (t *top) unserved() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, full := range t.full {
		return &noError{full.Error()}
	}
	return nil
}

// keys ends it all on q, Ctrl-C and Ctrl-D, which the terminal passes on as they are.
func (t *top) keys(ctx context.Context, in *os.File) {
	r, done, err := batch.Reader(ctx, in)
	if err != nil {
		return
	}
	defer done()
	b := make([]byte, 64)
	for {
		n, err := r.Read(b)
		if err != nil || n == 0 {
			if ctx.Err() == nil {
				t.cancel(nil) // the terminal is gone
			}
			return
		}
		if strings.ContainsAny(string(b[:n]), "qQ\x03\x04") {
			t.cancel(nil)
			return
		}
	}
}

// lines is what the screen shows.
func (t *top) lines(width, height int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var views []mapView
	for _, m := range t.maps {
		if m.snapshot != nil {
			views = append(views, mapView{snapshot: m.snapshot})
		}
	}
	slices.SortFunc(views, func(a, b mapView) int { return a.snapshot.PID - b.snapshot.PID })
	running := len(views)
	for i := len(t.ended) - 1; i >= 0; i-- {
		views = append(views, t.ended[i])
	}
	head := fmt.Sprintf("spider top: %d maps running", running)
	switch running {
	case 0:
		head = "spider top: no map running"
	case 1:
		head = "spider top: 1 map running"
	}
	const keys = "q: quit"
	if pad := width - len(head) - len(keys); pad > 1 {
		head += strings.Repeat(" ", pad) + keys
	}
	lines := []string{t.style.bold(clip(head, width))}
	for _, path := range slices.Sorted(maps.Keys(t.full)) {
		lines = append(lines, clip(t.full[path].Error(), width))
	}
	for i, v := range views {
		// Room is shared out from the top; what has ended takes little.
		room := height - len(lines) - 1
		if rest := len(views) - i; rest > 1 {
			room = max(room/rest, 3)
		}
		if room < 1 {
			break
		}
		lines = append(lines, "")
		lines = append(lines, v.lines(width, room, t.style)...)
	}
	return lines[:min(len(lines), height)]
}

// farewell is what is left on the terminal afterwards: how maps have ended.
func (t *top) farewell() (lines []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, v := range t.ended {
		lines = append(lines, fmt.Sprintf("map %d, %s %s, has ended: %s", v.snapshot.PID, oneLine(v.snapshot.Package), oneLine(v.snapshot.Task), v.end()))
	}
	return lines
}

// mapView is one map, as text.
type mapView struct {
	snapshot *monitor.Snapshot
	ended    bool
	lost     string // how, if it has not said that it ends
}

// end says how a map has ended.
func (v *mapView) end() string {
	s := v.snapshot
	switch {
	case v.lost != "":
		return v.lost
	case s.Message != "":
		return oneLine(s.Message)
	}
	return grouped(s.Done) + " done"
}

// lines is at most height lines of width characters.
func (v *mapView) lines(width, height int, st style) []string {
	s := v.snapshot
	head := fmt.Sprintf("map %d  %s %s  for %s  %d jobs", s.PID, oneLine(s.Package), oneLine(s.Task), clock(s.Now.Sub(s.Started)), s.Jobs)
	lines := []string{st.bold(clip(head, width))}
	p := progress{done: s.Done, skipped: s.Skipped, failed: s.Failed, total: s.Total, rate: s.Rate, took: s.Now.Sub(s.Started)}
	if v.ended {
		lines = append(lines, clip("  ended: "+v.end(), width))
		return lines[:min(len(lines), height)]
	}
	lines = append(lines, "  "+p.line(width-2, st))
	var more []string
	if s.Skipped > 0 {
		more = append(more, grouped(s.Skipped)+" done before")
	}
	if s.Retried > 0 {
		more = append(more, grouped(s.Retried)+" tried again")
	}
	if s.Waiting > 0 {
		more = append(more, grouped(s.Waiting)+" wait to be written")
	}
	if len(more) > 0 {
		lines = append(lines, clip("  "+strings.Join(more, ", "), width))
	}

	var failures []string
	if len(s.Causes) > 0 {
		var causes []string
		for _, c := range s.Causes {
			causes = append(causes, grouped(c.Count)+" "+oneLine(c.Text))
		}
		failures = append(failures, clip("  failed: "+strings.Join(causes, ", "), width))
	}
	for _, f := range s.Lately {
		ago := max(0, s.Now.Sub(f.Time))
		failures = append(failures, clip(fmt.Sprintf("  %6s ago  %s  #%d %s", clock(ago), oneLine(f.Cause), f.Index, oneLine(f.Text)), width))
	}
	// The executors come first, then what has failed, in half of the room at most if
	// that is scarce.
	room := height - len(lines) - 1
	rows := len(s.Executors)
	reserved := min(len(failures), 4, max(room/2, 0))
	if rows > room-reserved {
		rows = max(room-reserved-1, 0)
	}
	executors := s.Executors
	if rows < len(executors) {
		// What runs is what one wants to see.
		executors = slices.Clone(executors)
		slices.SortStableFunc(executors, func(a, b monitor.Executor) int {
			return cmp.Compare(idleness(a), idleness(b))
		})
	}
	if rows > 0 {
		lines = append(lines, clip("  NO     PID  STATE     FOR   MEMORY     TASKS  INPUT", width))
		for _, e := range executors[:rows] {
			lines = append(lines, executorRow(e, width, st))
		}
	}
	if more := len(s.Executors) - rows + s.More; more > 0 && rows > 0 {
		lines = append(lines, clip(fmt.Sprintf("  and %d more executors", more), width))
	}
	for _, text := range failures {
		if len(lines) < height {
			lines = append(lines, text)
		}
	}
	return lines[:min(len(lines), height)]
}

func idleness(e monitor.Executor) int {
	if e.State == "running" {
		return 0
	}
	return 1
}

func executorRow(e monitor.Executor, width int, st style) string {
	memory := "-" // not known
	if e.RSS > 0 {
		memory = byteSize(e.RSS)
	}
	input := ""
	if e.Index != nil {
		input = fmt.Sprintf("#%d %s", *e.Index, oneLine(e.Text))
	}
	return clip(fmt.Sprintf("%4d %7d  %-8s %4s %8s %9s  %s", e.Number, e.PID, oneLine(e.State),
		shortTime(time.Duration(e.ForUS)*time.Microsecond), memory, grouped(int64(e.Tasks)), input), width)
}

// shortTime is clock, but tells what is below a second apart.
func shortTime(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "<1ms"
	case d < 995*time.Millisecond:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return clock(d)
}

// clip cuts text to width characters. Those that are wider than one column the terminal
// cuts: it is told not to wrap.
func clip(text string, width int) string {
	r := []rune(text)
	if len(r) <= width {
		return text
	}
	if width < 1 {
		return ""
	}
	return string(r[:width-1]) + "…"
}

// fullScreen is a terminal that shows one text at a time, on its other screen.
type fullScreen struct {
	out   *os.File
	in    *os.File    // nil if stdin is another
	state *term.State // what in is to be again
	once  sync.Once
}

// openFullScreen turns to the other screen. close must be called.
func openFullScreen(out *os.File) (*fullScreen, error) {
	f := &fullScreen{out: out}
	if isTerminal(os.Stdin) {
		state, err := term.MakeRaw(int(os.Stdin.Fd()))
		if err != nil {
			return nil, err
		}
		f.in, f.state = os.Stdin, state
	}
	// No cursor, and no wrapping of lines that are wider than they seem.
	if _, err := io.WriteString(out, "\x1b[?1049h\x1b[?25l\x1b[?7l"); err != nil {
		f.close()
		return nil, &outputError{err}
	}
	return f, nil
}

// close leaves the terminal as it was.
func (f *fullScreen) close() {
	f.once.Do(func() {
		_, _ = io.WriteString(f.out, "\x1b[?7h\x1b[?25h\x1b[?1049l")
		if f.in != nil {
			_ = term.Restore(int(f.in.Fd()), f.state)
		}
	})
}

func (f *fullScreen) size() (width, height int) {
	width, height, err := term.GetSize(int(f.out.Fd()))
	if err != nil || width < 1 || height < 1 {
		return 80, 24
	}
	return width, height
}

func (f *fullScreen) draw(lines []string) error {
	var b strings.Builder
	b.WriteString("\x1b[H")
	for i, line := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString("\x1b[K" + line)
	}
	b.WriteString("\x1b[J")
	_, err := io.WriteString(f.out, b.String())
	return err
}
