package batch

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spider-go/spider/internal/record"
)

// Earlier is an earlier output, which is continued: what is written to it follows what
// it has. Close must be called.
//
// It is locked against other programs that continue it. Of each of its records it keeps
// some eight bytes.
type Earlier struct {
	Succeeded int64 // records of inputs that are not run again
	Failed    int64 // the same
	Again     int64 // inputs that have failed and are to be run again
	Cut       int64 // bytes of a half-written last line, which is gone

	path string
	file *os.File
	done records
}

// EarlierError says why an output cannot be continued. It has not been changed.
type EarlierError struct {
	Path   string
	Line   int64 // from 1; 0 if it is about none
	Reason string
}

func (e *EarlierError) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("cannot continue %s: line %d %s", e.Path, e.Line, e.Reason)
	}
	return fmt.Sprintf("cannot continue %s: %s", e.Path, e.Reason)
}

// OtherInputsError says that an output does not belong to the inputs it is to be
// continued with.
type OtherInputsError struct {
	Path   string
	Index  int64
	Inputs int64 // so many there are, if there is no input of that index; else 0
	Text   string
}

func (e *OtherInputsError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("cannot continue %s: it has a record of input %d, and there are only %d inputs: it was made of others", e.Path, e.Index, e.Inputs)
	}
	return fmt.Sprintf("cannot continue %s: its record of input %d is not of what that input is now, %s: the inputs, the task or its other arguments were not the same",
		e.Path, e.Index, e.Text)
}

// Open opens an earlier output, or begins a new one. If again, what has failed is run
// again: its records are taken out, and the file is replaced by one without them, so
// that it never has two of one input, whenever this is killed. The error is an
// *[EarlierError], or the file's.
func Open(path string, again bool) (*Earlier, error) {
	e := &Earlier{path: path, done: records{pages: map[int64]*page{}, last: -1}}
	var err error
	if e.file, err = openLocked(path); err != nil {
		return nil, err
	}
	if err := e.load(again); err != nil {
		e.file.Close()
		return nil, err
	}
	return e, nil
}

// openLocked opens and locks the file that has the path once it is locked.
func openLocked(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|syscall.O_NONBLOCK, 0o644)
		if err != nil {
			return nil, err
		}
		ours, err := f.Stat()
		if err == nil && !ours.Mode().IsRegular() {
			err = &EarlierError{Path: path, Reason: "it is no regular file"}
		}
		if err == nil {
			err = lock(f)
		}
		if err != nil {
			f.Close()
			return nil, err
		}
		// Another program may have replaced it before it gave up its lock.
		if now, err := os.Stat(path); err == nil && os.SameFile(ours, now) {
			return f, nil
		}
		f.Close()
	}
}

func lock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return &EarlierError{Path: f.Name(), Reason: "another program is writing it"}
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// load reads what there is, and takes out what is to be run again.
func (e *Earlier) load(again bool) error {
	whole, err := e.scan(e.file, again, nil)
	if err != nil {
		return err
	}
	if e.Again > 0 {
		return e.replace()
	}
	if e.Cut > 0 {
		if err := e.file.Truncate(whole); err != nil {
			return err
		}
	}
	return nil
}

// earlierRecord is what matters of a record.
type earlierRecord struct {
	Index   *int64
	Input   string
	Outcome record.Outcome
}

// scan reads records, and returns how many bytes whole lines have. Those that are not to
// be run again are noted, or, if keep is set, written to it.
func (e *Earlier) scan(r io.Reader, again bool, keep io.Writer) (whole int64, err error) {
	lines := bufio.NewReaderSize(r, 256<<10)
	var line []byte
	for number := int64(1); ; number++ {
		line = line[:0]
		for {
			part, err := lines.ReadSlice('\n')
			line = append(line, part...)
			if err == nil {
				break
			}
			if err == io.EOF {
				e.Cut = int64(len(line))
				return whole, nil
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return whole, err
			}
			if len(line) > maxRecord {
				return whole, &EarlierError{e.path, number, "is too long for a record of spider map"}
			}
		}
		kept, err := e.note(line, number, again, keep != nil)
		if err != nil {
			return whole, err
		}
		whole += int64(len(line))
		if kept && keep != nil {
			if _, err := keep.Write(line); err != nil {
				return whole, err
			}
		}
	}
}

// maxRecord is more than the record of the largest answer has: 8 MiB, each byte of
// which may be six as JSON, and lines of stderr.
const maxRecord = 128 << 20

// note takes a record in; kept tells that it stays in the file.
func (e *Earlier) note(line []byte, number int64, again, noted bool) (kept bool, err error) {
	fault := func(reason string) (bool, error) { return false, &EarlierError{e.path, number, reason} }
	var r earlierRecord
	if json.Unmarshal(line, &r) != nil || bytes.IndexByte(line, 0) >= 0 {
		return fault("is no record of spider map")
	}
	input, err := strconv.ParseUint(r.Input, 16, 64)
	switch {
	case r.Index == nil || *r.Index < 0 || r.Outcome == "" || err != nil || len(r.Input) != 16:
		return fault("lacks what a record of spider map has: index, input and outcome")
	}
	kept = r.Outcome == record.OK || !again
	if noted {
		return kept, nil
	}
	if !e.done.add(*r.Index, digest(input), kept) {
		return fault(fmt.Sprintf("is a second record of input %d: two runs have written it, as with >>; what each has written can be continued in a file of its own", *r.Index))
	}
	switch {
	case !kept:
		e.Again++
	case r.Outcome == record.OK:
		e.Succeeded++
	default:
		e.Failed++
	}
	return kept, nil
}

// replace replaces the file by one without what is to be run again.
func (e *Earlier) replace() error {
	target, err := filepath.EvalSymlinks(e.path) // a link stays one
	if err != nil {
		return err
	}
	// A name that nobody has: what is there already is somebody's, or leads elsewhere.
	prefix := "." + filepath.Base(target) + ".resume-"
	removeLeft(filepath.Dir(target), prefix)
	made, err := os.CreateTemp(filepath.Dir(target), prefix+"*")
	if err != nil {
		return err
	}
	name := made.Name()
	fresh, err := os.OpenFile(name, os.O_RDWR|os.O_APPEND, 0)
	made.Close()
	if err != nil {
		os.Remove(name)
		return err
	}
	if err = e.refill(fresh); err == nil {
		err = os.Rename(name, target)
	}
	if err != nil {
		fresh.Close()
		os.Remove(name)
		return err
	}
	e.file.Close()
	e.file = fresh
	return nil
}

// removeLeft removes what attempts have left that were killed. The file they were to replace
// is locked by this one, so none is under way.
func removeLeft(dir, prefix string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it is only about order
	}
	for _, entry := range entries {
		digits, ok := strings.CutPrefix(entry.Name(), prefix)
		if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" || !entry.Type().IsRegular() {
			continue
		}
		_ = os.Remove(filepath.Join(dir, entry.Name()))
	}
}

func (e *Earlier) refill(fresh *os.File) error {
	if err := lock(fresh); err != nil {
		return err
	}
	info, err := e.file.Stat()
	if err != nil {
		return err
	}
	if err := fresh.Chmod(info.Mode().Perm()); err != nil {
		return err
	}
	if _, err := e.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(fresh, 256<<10)
	if _, err := e.scan(e.file, true, buffered); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return fresh.Sync()
}

// Write appends.
func (e *Earlier) Write(b []byte) (int, error) { return e.file.Write(b) }

// Close closes the file, and sees to it that what was written outlives the machine, too.
func (e *Earlier) Close() error {
	return cmp.Or(e.file.Sync(), e.file.Close())
}

// Rest is the part of s that is still to be run: of what the file has, s only must not
// differ. The digests are those of cfg, which is otherwise left alone.
//
// Before it returns the first input it looks at those behind, up to the last that the
// file has, or up to ahead further inputs: mostly, other inputs are found before
// anything has run.
func (e *Earlier) Rest(cfg *Config, s Source, ahead int) Source {
	return &rest{earlier: e, pkg: cfg.Package, task: cfg.Task, arguments: cfg.Arguments, source: s, ahead: ahead}
}

type rest struct {
	earlier   *Earlier
	pkg, task string
	arguments Arguments
	source    Source
	ahead     int
	read      int64   // of source
	queue     []Input // read ahead
	held      int     // bytes of their texts
	over      bool
}

// Next implements [Source].
func (r *rest) Next(ctx context.Context) (Input, error) {
	done := &r.earlier.done
	for !r.over && (len(r.queue) == 0 || r.read <= done.last && len(r.queue) < r.ahead && r.held < HeldBytes/2) {
		in, err := r.source.Next(ctx)
		if err == io.EOF {
			if r.over = true; r.read <= done.last {
				return Input{}, &OtherInputsError{Path: r.earlier.path, Index: done.last, Inputs: r.read}
			}
			break
		}
		if err != nil {
			return Input{}, err
		}
		r.read++
		was, known, kept := done.get(in.Index)
		if known {
			inputs, err := r.arguments.Encode(&in)
			if digestOf(r.pkg, r.task, &in, inputs, err) != was {
				return Input{}, &OtherInputsError{Path: r.earlier.path, Index: in.Index, Text: strconv.Quote(abridge(in.Text))}
			}
		}
		if !kept {
			r.queue = append(r.queue, in)
			r.held += len(in.Text)
		}
	}
	if len(r.queue) == 0 {
		return Input{}, io.EOF
	}
	in := r.queue[0]
	r.queue[0] = Input{}
	if r.queue = r.queue[1:]; len(r.queue) == 0 {
		r.queue = nil
	}
	r.held -= len(in.Text)
	return in, nil
}

// records are digests by index. Indices are mostly without gaps, so they are kept by
// the page; a page for each record, at worst, is some five times the file.
type records struct {
	pages map[int64]*page
	last  int64 // the largest index, -1 if there is none
}

type page struct {
	digests     [pageSize]digest
	known, kept uint64 // a bit each
}

const pageSize = 64

// add notes a record; false if there is one of that index.
func (r *records) add(index int64, d digest, kept bool) bool {
	p := r.pages[index/pageSize]
	if p == nil {
		p = &page{}
		r.pages[index/pageSize] = p
	}
	i := index % pageSize
	if p.known>>i&1 != 0 {
		return false
	}
	p.digests[i] = d
	p.known |= 1 << i
	if kept {
		p.kept |= 1 << i
	}
	r.last = max(r.last, index)
	return true
}

func (r *records) get(index int64) (d digest, known, kept bool) {
	p := r.pages[index/pageSize]
	if p == nil {
		return 0, false, false
	}
	i := index % pageSize
	return p.digests[i], p.known>>i&1 != 0, p.kept>>i&1 != 0
}
