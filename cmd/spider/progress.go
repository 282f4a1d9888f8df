package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/batch"
	"github.com/spider-go/spider/pool"
)

// screen is stderr while a map runs: what tasks write there, and below it one line of
// progress, if it is a terminal.
type screen struct {
	live    bool // there is such a line
	summary bool // at the end somebody sees how it went
	style   style

	mu    sync.Mutex
	w     io.Writer
	shown string // the line of progress, "" while there is none
}

// newScreen is given whether progress is wanted, and whether records go to stdout: if that
// is a terminal, too, they would stand in the line of progress, and show as much.
func newScreen(s *streams, wanted, records bool) *screen {
	seen := wanted && isTerminal(s.err)
	return &screen{
		w: s.err, style: styleOf(s.color, s.err), summary: seen,
		live: seen && os.Getenv("TERM") != "dumb" && !(records && isTerminal(s.out.w)),
	}
}

// eraseLine goes back to the beginning of the line and clears it.
const eraseLine = "\r\x1b[K"

// taskLine passes on a line that a task wrote, with the index of its input.
func (s *screen) taskLine(l pool.StderrLine) {
	text := l.Text
	if s.summary {
		text = oneLine(text) // it must not move the cursor
	}
	prefix := ""
	if index, ok := batch.IndexOf(l.Context); ok {
		prefix = fmt.Sprintf("[%d] ", index)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shown != "" {
		text = eraseLine + prefix + text + "\n" + s.shown
	} else {
		text = prefix + text + "\n"
	}
	_, _ = io.WriteString(s.w, text)
}

// draw shows another line of progress, "" for none.
func (s *screen) draw(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line == s.shown {
		return
	}
	s.shown = line
	_, _ = io.WriteString(s.w, eraseLine+line)
}

const (
	// A map that is over soon shows no progress, which would only flicker.
	firstDraw = 300 * time.Millisecond
	drawEvery = 100 * time.Millisecond
)

// shower draws progress until its end.
type shower struct {
	stop chan struct{}
	done chan struct{}
}

// show draws what now returns, again and again. end must be called.
func (s *screen) show(now func() progress) *shower {
	w := &shower{make(chan struct{}), make(chan struct{})}
	go func() {
		defer close(w.done)
		if !s.live {
			return
		}
		for wait := firstDraw; ; wait = drawEvery {
			select {
			case <-w.stop:
				s.draw("")
				return
			case <-time.After(wait):
			}
			s.draw(now().line(columns(s.w), s.style))
		}
	}()
	return w
}

// end takes the line of progress away.
func (w *shower) end() {
	close(w.stop)
	<-w.done
}

// columns is how wide the terminal is.
func columns(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	return 80
}

// progress is how far a map has come.
type progress struct {
	done, skipped, failed int64 // skipped ones are done, too
	total                 int64 // 0 if that is not known
	rate                  float64
	took                  time.Duration
}

// eta is how long the rest will take, if that can be told.
func (p progress) eta() (time.Duration, bool) {
	if p.total <= 0 || p.rate <= 0 || p.done > p.total {
		return 0, false
	}
	return time.Duration(float64(p.total-p.done) / p.rate * float64(time.Second)), true
}

// line is progress in less than width characters: the last column stays free, as some
// terminals wrap there.
func (p progress) line(width int, st style) string {
	count := grouped(p.done)
	if p.total > 0 {
		count += " of " + grouped(p.total)
	}
	failed := ""
	if p.failed > 0 {
		failed = grouped(p.failed) + " failed"
	}
	rate := perSecond(p.rate)
	left := "for " + clock(p.took)
	if eta, ok := p.eta(); ok {
		left = clock(eta) + " left"
	}

	// What matters least goes first where there is no room.
	parts := func(all ...string) (text string) {
		for _, part := range all {
			if part != "" && text != "" {
				text += "  "
			}
			text += part
		}
		return text
	}
	room := width - 1
	text := parts(count, failed, rate, left)
	for _, shorter := range []string{parts(count, failed, left), parts(count, failed), parts(grouped(p.done), failed), grouped(p.done)} {
		if len(text) > room {
			text = shorter
		}
	}
	if len(text) > room {
		return ""
	}
	if bar := p.bar(min(room-len(text)-2, 36)); bar != "" {
		text = bar + "  " + text
	}
	if failed != "" {
		text = strings.Replace(text, failed, st.red(failed), 1)
	}
	return text
}

// bar is the part that is done, in width characters; "" if that is too few.
func (p progress) bar(width int) string {
	const percent = len(" 100%")
	inside := width - len("[]") - percent
	if inside < 5 || p.total <= 0 {
		return ""
	}
	part := min(float64(p.done)/float64(p.total), 1)
	full := int(part * float64(inside))
	bar := strings.Repeat("=", full)
	if full < inside {
		bar += ">" + strings.Repeat(" ", inside-full-1)
	}
	return fmt.Sprintf("[%s] %3d%%", bar, int(part*100))
}

func perSecond(rate float64) string {
	if rate < 10 {
		return strconv.FormatFloat(rate, 'f', 1, 64) + "/s"
	}
	return grouped(int64(rate+0.5)) + "/s"
}

// grouped writes 90001 as 90,001.
func grouped(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// byteSize is a size for people: in powers of 1024, as the limits of calls are, and with
// two or three digits.
func byteSize(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d bytes", n)
	}
	unit, value := -1, float64(n)
	for value >= 1023.5 { // which prints as 1024
		value /= 1 << 10
		unit++
	}
	digits := 0
	if value < 99.95 {
		digits = 1
	}
	return fmt.Sprintf("%.*f %ciB", digits, value, "KMGTPE"[unit])
}

// clock writes a time as 4s, 3m12s or 2h05m.
func clock(d time.Duration) string {
	s := int64((d + time.Second/2) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 100*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
}
