// Package monitor lets a running map be watched: `spider map` serves what it is at, and
// `spider top` looks at it.
//
// Each map listens on a Unix socket of its own in a directory that only its user can
// enter, under a name with its pid: [Listen]. Whoever connects gets a [Snapshot] as a line
// of JSON, at once and then every [Every], the last of them with Ended set, or a line that
// says that too many others do; nothing is read from them. [List] finds the sockets, [Dial] and [Client.Next] read one.
//
// The package hides the directory, sockets that a killed map has left, and what a peer
// may do. A client that does not read, or says anything, never slows the map: it is
// dropped. A server's bytes are bounded before they are kept, and are no more trusted
// than a task's. It never looks at a pool or a batch.
package monitor

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// Snapshot is a map at one moment.
type Snapshot struct {
	PID     int       `json:"pid"`
	Package string    `json:"package"`
	Task    string    `json:"task"`
	Jobs    int       `json:"jobs"`
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`

	Done    int64   `json:"done"`    // inputs with a record, also from an earlier run
	Skipped int64   `json:"skipped"` // those from an earlier run
	Total   int64   `json:"total"`   // inputs, 0 if that is not known
	Failed  int64   `json:"failed"`  // in this run
	Retried int64   `json:"retried"`
	Waiting int64   `json:"waiting"` // records that are not written yet
	Rate    float64 `json:"rate"`    // per second, over the last seconds

	Executors []Executor `json:"executors"`
	More      int        `json:"more,omitempty"` // executors beyond MaxExecutors
	Causes    []Cause    `json:"causes"`         // of failures, the most frequent first
	Lately    []Failure  `json:"lately"`         // the last failures, the latest first

	Ended   bool   `json:"ended,omitempty"` // this is the last
	Message string `json:"message,omitempty"`
}

// Executor is one process.
type Executor struct {
	Number int    `json:"number"`
	PID    int    `json:"pid"`
	State  string `json:"state"` // running, idle, starting or ending
	ForUS  int64  `json:"for_us"`
	RSS    int64  `json:"rss"` // bytes now, 0 if that is not known
	Tasks  int    `json:"tasks"`
	Index  *int64 `json:"index,omitempty"` // of the input it runs
	Text   string `json:"text,omitempty"`  // the input, abridged
}

// Cause is why inputs have failed.
type Cause struct {
	Text  string `json:"text"`
	Count int64  `json:"count"`
}

// Failure is an input that has failed.
type Failure struct {
	Index int64     `json:"index"`
	Text  string    `json:"text,omitempty"`
	Cause string    `json:"cause"`
	Time  time.Time `json:"time"`
}

// What a snapshot has at most. It is cut to that, so that a line is always below
// maxLine: a JSON text has up to six bytes for each of a string.
const (
	MaxExecutors = 128
	maxText      = 80  // bytes
	maxMessage   = 800 // bytes, of how a map has ended
	maxList      = 20  // causes, failures

	maxLine = 256 << 10
)

// Every is how long it is from one snapshot to the next.
const Every = 500 * time.Millisecond

// fit cuts s to the bounds.
func (s *Snapshot) fit() {
	if more := len(s.Executors) - MaxExecutors; more > 0 {
		s.More += more
		s.Executors = s.Executors[:MaxExecutors]
	}
	s.Executors = slices.Clone(s.Executors)
	for i := range s.Executors {
		e := &s.Executors[i]
		e.Text, e.State = short(e.Text), short(e.State)
	}
	s.Causes = slices.Clone(s.Causes[:min(len(s.Causes), maxList)])
	for i := range s.Causes {
		s.Causes[i].Text = short(s.Causes[i].Text)
	}
	s.Lately = slices.Clone(s.Lately[:min(len(s.Lately), maxList)])
	for i := range s.Lately {
		f := &s.Lately[i]
		f.Text, f.Cause = short(f.Text), short(f.Cause)
	}
	s.Package, s.Task = short(s.Package), short(s.Task)
	s.Message = cut(s.Message, maxMessage)
}

func short(text string) string { return cut(text, maxText) }

// cut cuts text to limit bytes, not inside a character.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	n := limit - len("...")
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "..."
}

// directories are where sockets may be, the preferred one first.
func directories() []string {
	var dirs []string
	if runtime := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(runtime) {
		dirs = append(dirs, filepath.Join(runtime, "spider"))
	}
	return append(dirs, fmt.Sprintf("/tmp/spider-%d", os.Geteuid()))
}

// check refuses a directory that others could put something into.
func check(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", dir)
	case !ok || int(owner.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to another user", dir)
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s is open to other users (mode %v, not 0700)", dir, info.Mode().Perm())
	}
	return nil
}

const prefix, suffix = "map-", ".sock"

func socketName(pid int) string { return prefix + strconv.Itoa(pid) + suffix }

// Socket is where a map may be listening.
type Socket struct {
	PID  int
	Path string
}

// List returns the sockets of this user's maps, by pid. Those that nobody listens on any
// more, it removes.
func List() []Socket {
	var found []Socket
	for _, dir := range directories() {
		found = append(found, list(dir)...)
	}
	slices.SortFunc(found, func(a, b Socket) int { return a.PID - b.PID })
	return found
}

func list(dir string) (found []Socket) {
	if check(dir) != nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		name, isMap := strings.CutPrefix(entry.Name(), prefix)
		digits, isSocket := strings.CutSuffix(name, suffix)
		pid, err := strconv.Atoi(digits)
		if !isMap || !isSocket || err != nil || pid <= 0 || entry.Type()&fs.ModeSocket == 0 {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		if stale(path, pid) {
			_ = os.Remove(path)
			continue
		}
		found = append(found, Socket{pid, path})
	}
	return found
}

// stale reports whether nobody listens any more. A map that has just bound its socket and
// does not listen yet is alive, which tells it apart.
func stale(path string, pid int) bool {
	if err := syscall.Kill(pid, 0); err == nil || errors.Is(err, syscall.EPERM) {
		return false
	}
	c, err := net.DialTimeout("unix", path, patience)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
