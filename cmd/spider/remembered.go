package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spider-go/spider/internal/catalog"
	"github.com/spider-go/spider/tdl"
)

// memory is a package's description from an earlier run, kept in the user's cache
// directory, one file for each package. It saves a run the few milliseconds that a
// package takes to describe itself.
//
// It counts only for the very file that was described, and never for saying no: before
// arguments are refused, the package is asked again. So nothing that is wrong with it,
// or was changed in it, can keep a task from running.
type memory struct {
	path string // of the file in the cache, "" if there is nowhere to keep it

	Of          identity         `json:"of"`
	Description *tdl.Description `json:"description"` // null: it does not describe itself
}

// identity is all that a description depends on.
type identity struct {
	Package  file `json:"package"`
	Executor file `json:"executor,omitzero"` // of a library
}

// file tells one file from another, and from what it was before it was changed.
type file struct {
	Path     string `json:"path"`
	Device   uint64 `json:"device"`
	Inode    uint64 `json:"inode"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"` // in nanoseconds since 1970
	Changed  int64  `json:"changed"`
}

const (
	// maxMemory bounds what is read of a file in the cache, in bytes.
	maxMemory = 8 << 20

	// settled is how old a file must be to be remembered: one changed twice within a
	// tick of the file system's clock might look the same.
	settled = 2 * time.Second
)

// recall looks for a description of the package. Where it finds none, what it returns
// can keep one.
func recall(from catalog.Source, name string) (m memory, ok bool) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return m, false
	}
	if m.Of, err = identify(from, name); err != nil {
		return m, false
	}
	sum := sha256.Sum256([]byte(m.Of.Package.Path))
	m.path = filepath.Join(dir, "spider", "descriptions", name+"-"+hex.EncodeToString(sum[:8])+".json")
	f, err := os.Open(m.path)
	if err != nil {
		return m, false
	}
	defer f.Close()
	found := memory{path: m.path}
	if err := json.NewDecoder(io.LimitReader(f, maxMemory)).Decode(&found); err != nil || found.Of != m.Of {
		return m, false
	}
	return found, true
}

// identify finds the files that a description of the package would be from.
func identify(from catalog.Source, name string) (id identity, err error) {
	entry := catalog.Look(from.Dir, name)
	if entry.Program != nil && (entry.Library == nil || !from.PreferLibrary) {
		id.Package, err = fileAt(entry.Program.Path)
		return id, err
	}
	if entry.Library == nil {
		return id, errors.New("no such package")
	}
	if id.Package, err = fileAt(entry.Library.Path); err != nil {
		return id, err
	}
	executor, err := exec.LookPath(from.Executor)
	if err != nil {
		return id, err
	}
	id.Executor, err = fileAt(executor)
	return id, err
}

func fileAt(path string) (file, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return file{}, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return file{}, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return file{}, errors.New("no inode")
	}
	return file{path, stat.Dev, stat.Ino, stat.Size, stat.Mtim.Nano(), stat.Ctim.Nano()}, nil
}

// keep remembers what the package has said by now; err is why it has not. It never
// fails: then the package is asked again next time.
func (m memory) keep(d *tdl.Description, err error, now time.Time) {
	var fault *catalog.DescribeError
	if m.path == "" || err != nil && !(errors.As(err, &fault) && fault.Reason == catalog.NotDescribed) {
		return
	}
	if now.Sub(time.Unix(0, m.Of.Package.Changed)) < settled {
		return
	}
	m.Description = d
	text, err := json.Marshal(m)
	if err != nil {
		return
	}
	dir := filepath.Dir(m.path)
	if home := filepath.Dir(filepath.Dir(filepath.Dir(dir))); !isDir(home) {
		return // somebody without a home gets none by this
	}
	if os.MkdirAll(dir, 0o700) != nil {
		return
	}
	fresh, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return
	}
	_, err = fresh.Write(text)
	if err := errors.Join(err, fresh.Close()); err != nil || os.Rename(fresh.Name(), m.path) != nil {
		_ = os.Remove(fresh.Name())
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
