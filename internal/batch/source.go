package batch

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// Input is one input, as its source has it.
type Input struct {
	Index int64
	Line  int64  // of the file it is in, from 1; 0 if it is in none
	Text  []byte // the input's own; of one that is too long only the beginning
	Err   error  // why there is none that could be run
}

// Source has the inputs.
type Source interface {
	// Next returns the next input, with the next index, and io.EOF after the last. It
	// is called by one goroutine at a time, and returns soon once ctx has ended.
	Next(ctx context.Context) (Input, error)
}

// MaxLine is the longest line that is taken for an input, in bytes. The largest request
// that executors take, 8 MiB, may be some times as long as JSON.
const MaxLine = 32 << 20

// TooLongError says that a line is over [MaxLine]. It has been passed over, without
// being kept.
type TooLongError struct{ Size int64 }

func (e *TooLongError) Error() string {
	return fmt.Sprintf("%d bytes are over the limit of %d of a line: pass less, or a reference to it", e.Size, MaxLine)
}

// Lines is a [Source] of the lines of a reader.
type Lines struct {
	r      *bufio.Reader
	end    byte
	blanks bool // are inputs, too
	line   int64
	index  int64
}

// NewLines reads lines that end in end, the last of which may lack it. If plain, an
// empty line is an input like all others, else blank ones are passed over.
func NewLines(r io.Reader, end byte, plain bool) *Lines {
	return &Lines{r: bufio.NewReaderSize(r, 256<<10), end: end, blanks: plain}
}

// Next implements [Source], as far as the reader's Read returns once ctx has ended: see
// [Reader].
func (l *Lines) Next(ctx context.Context) (Input, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Input{}, err
		}
		text, size, err := l.next()
		if err != nil {
			return Input{}, err
		}
		l.line++
		if !l.blanks && size == int64(len(text)) && len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		in := Input{Index: l.index, Line: l.line, Text: text}
		if size > int64(len(text)) {
			in.Err = &TooLongError{size}
		}
		l.index++
		return in, nil
	}
}

// next returns a line without its end, or the beginning of one of size bytes that is
// too long.
func (l *Lines) next() (text []byte, size int64, err error) {
	const kept = 256 // bytes of a line that is too long
	for {
		part, err := l.r.ReadSlice(l.end)
		ended := err == nil
		if ended {
			part = part[:len(part)-1]
		}
		if size += int64(len(part)); size > MaxLine {
			text = bytes.Clone(text[:min(len(text), kept)])
		} else {
			text = append(text, part...)
		}
		switch {
		case ended, err == io.EOF && size > 0:
			return text, size, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, 0, err
		}
	}
}

// reader reads a file until a context ends.
type reader struct {
	ctx  context.Context
	file *os.File
	wake int // an eventfd
}

// Reader returns a reader of f whose Read returns when ctx ends, also while it waits for
// a pipe or a terminal. done gives up what it needs for that; f stays open.
func Reader(ctx context.Context, f *os.File) (r io.Reader, done func(), err error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("eventfd: %w", err)
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	return &reader{ctx, f, wake}, func() {
		if !stop() {
			<-woken
		}
		unix.Close(wake)
	}, nil
}

func (r *reader) Read(b []byte) (int, error) {
	for {
		polled := []unix.PollFd{{Fd: int32(r.file.Fd()), Events: unix.POLLIN}, {Fd: int32(r.wake), Events: unix.POLLIN}}
		_, err := unix.Poll(polled, -1)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, fmt.Errorf("poll %s: %w", r.file.Name(), err)
		case polled[1].Revents != 0:
			return 0, r.ctx.Err()
		}
		return r.file.Read(b)
	}
}

// Files is a [Source] of the paths of all regular files below some places. Symbolic
// links below them are not followed; what is no regular file is passed over, and
// counted. Close must be called.
type Files struct {
	next   func() (string, error, bool)
	Close  func()
	index  int64
	passed map[fs.FileMode]int64 // by kind of passedKinds
}

// Passed is a kind of what [Files] has passed over.
type Passed struct {
	One, Many string // such as "socket", "sockets"
	Count     int64
}

// Passed says what has been passed over, the most first. It may not be called while
// Next is.
func (f *Files) Passed() []Passed {
	var kinds []Passed
	for _, k := range passedKinds {
		if n := f.passed[k.kind]; n > 0 {
			kinds = append(kinds, Passed{k.one, k.many, n})
		}
	}
	slices.SortStableFunc(kinds, func(a, b Passed) int { return cmp.Compare(b.Count, a.Count) })
	return kinds
}

var passedKinds = []struct {
	kind      fs.FileMode
	one, many string
}{
	{fs.ModeSymlink, "symbolic link", "symbolic links"},
	{fs.ModeNamedPipe, "FIFO", "FIFOs"},
	{fs.ModeSocket, "socket", "sockets"},
	{fs.ModeDevice, "device", "devices"},
	{0, "other", "others"},
}

// pass counts what is of this type.
func (f *Files) pass(kind fs.FileMode) {
	for _, k := range passedKinds {
		if kind&k.kind == k.kind {
			f.passed[k.kind]++
			return
		}
	}
}

// NewFiles lists the files below each of roots, in the order of their names. A root may
// be a file itself, of any kind, and a link to a file or directory. The error is that of a
// root that cannot be looked at.
func NewFiles(roots []string) (*Files, error) {
	for _, root := range roots {
		if _, err := os.Stat(root); err != nil {
			return nil, err
		}
	}
	f := &Files{passed: map[fs.FileMode]int64{}}
	f.next, f.Close = iter.Pull2(walk(roots, f.pass))
	return f, nil
}

// walk yields paths, or the error of what cannot be looked at. It tells the types of what
// it passes over.
func walk(roots []string, passed func(fs.FileMode)) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, root := range roots {
			// A root that is a link is followed.
			if info, err := os.Stat(root); err == nil && info.IsDir() && root[len(root)-1] != '/' {
				if info, err := os.Lstat(root); err == nil && info.Mode()&fs.ModeSymlink != 0 {
					root += "/"
				}
			}
			err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
				switch {
				case err != nil:
					if !yield(path, err) {
						return fs.SkipAll
					}
					if entry != nil && entry.IsDir() {
						return fs.SkipDir
					}
				case entry.Type().IsRegular(), path == root && !entry.IsDir():
					if !yield(path, nil) {
						return fs.SkipAll
					}
				case !entry.IsDir():
					passed(entry.Type())
				}
				return nil
			})
			if err != nil {
				return // by none of the above
			}
		}
	}
}

// Next implements [Source].
func (f *Files) Next(ctx context.Context) (Input, error) {
	if err := ctx.Err(); err != nil {
		return Input{}, err
	}
	path, err, ok := f.next()
	if !ok {
		return Input{}, io.EOF
	}
	in := Input{Index: f.index, Text: []byte(path), Err: err}
	f.index++
	return in, nil
}

// CountFiles counts what [NewFiles] would list, until ctx ends.
func CountFiles(ctx context.Context, roots []string) (n int64, ok bool) {
	for range walk(roots, func(fs.FileMode) {}) {
		if n++; ctx.Err() != nil {
			return 0, false
		}
	}
	return n, true
}

// CountLines counts what [NewLines] would read, until ctx ends.
func CountLines(ctx context.Context, r io.Reader, end byte, plain bool) (n int64, ok bool) {
	for l := NewLines(r, end, plain); ; {
		switch _, err := l.Next(ctx); {
		case err == io.EOF:
			return l.index, true
		case err != nil:
			return 0, false
		}
	}
}
