package staging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spider-go/spider/internal/catalog"
	"github.com/spider-go/spider/internal/inspect"
	"github.com/spider-go/spider/internal/scaffold"
)

// Config says what to build, and where to put it.
type Config struct {
	// Source is a folder with sources, or a library or program that is built already.
	Source string

	// Lang is what the sources are written in. "": what [Detect] finds.
	Lang scaffold.Language

	// Program builds a Go package as a program that is its own executor, not as a library.
	Program bool

	PackageDir string

	// Executor tries libraries. Required for them; Missing says why there is none.
	Executor, Missing string

	// Timeout is how long the package may take to load. 0: inspect.DefaultTimeout.
	Timeout time.Duration

	// Log gets the commands that are run, and what they print.
	Log io.Writer
}

// Staged is a file that was put in place.
type Staged struct {
	Path     string
	Report   *inspect.Report // of before it was put there
	Replaced bool            // there was another one
}

// RefusedError says that what was built, or given, is no package that loads. Nothing was
// replaced.
type RefusedError struct {
	Form   inspect.Form
	Reason string
}

func (e *RefusedError) Error() string {
	what := "the " + string(e.Form)
	if e.Form == inspect.Other {
		what = "it is neither a library nor a program, and"
	}
	return fmt.Sprintf("%s cannot be used: %s. Nothing was replaced", what, e.Reason)
}

// UsageError says that what was asked for is not possible.
type UsageError struct{ message string }

func (e *UsageError) Error() string { return e.message }

var languages = map[scaffold.Language]string{scaffold.Go: "Go", scaffold.C: "C", scaffold.Rust: "Rust"}

// Build builds a package, tries it, and puts it in place. Where a library is asked for and
// the package's program is there, which would be preferred, that is built again too. The
// error is a *[UsageError], a *[MissingError], a *[FailedError], a *[RefusedError], that of a file, or
// ctx's own; no package was replaced then, unless the file system has failed between two
// of them.
func Build(ctx context.Context, cfg Config) (_ []Staged, err error) {
	info, err := os.Stat(cfg.Source)
	if err != nil {
		return nil, &UsageError{err.Error()}
	}
	lang := cfg.Lang
	if lang == "" && info.IsDir() {
		if lang, err = Detect(cfg.Source); err != nil {
			return nil, err
		}
	}
	if cfg.Program && info.IsDir() && lang != scaffold.Go {
		return nil, &UsageError{fmt.Sprintf("only a Go package can be built as a program, and that in %s is in %s", cfg.Source, languages[lang])}
	}
	dir, err := filepath.Abs(cfg.PackageDir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	scratch, release, err := scratchFolder(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()

	c := &compiler{source: cfg.Source, scratch: scratch, log: cfg.Log}
	var built string
	switch {
	case !info.IsDir():
		built = filepath.Join(scratch, "file")
		err = copyFile(cfg.Source, built)
	case cfg.Program:
		built, err = c.program(ctx)
	default:
		built, err = c.library(ctx, lang)
	}
	if err != nil {
		return nil, err
	}
	first, err := try(ctx, cfg, built)
	if err != nil {
		return nil, err
	}
	reports := []*inspect.Report{first}
	if first.Form == inspect.Library && lang == scaffold.Go && catalog.Look(dir, first.Name).Program != nil {
		if built, err = c.program(ctx); err != nil {
			return nil, err
		}
		program, err := try(ctx, cfg, built)
		if err != nil {
			return nil, err
		}
		reports = append(reports, program)
	}
	var staged []Staged
	for _, r := range reports {
		s, err := place(dir, r)
		if err != nil {
			return staged, err
		}
		staged = append(staged, s)
	}
	return staged, nil
}

// scratchPattern names scratch folders: hidden from those who list packages.
const scratchPattern = ".spider-build-"

// scratchFolder makes a folder for one build, in the same file system as the package's
// place. It is locked, so that one whose build was killed can be told, and is removed.
func scratchFolder(dir string) (scratch string, release func() error, err error) {
	leftovers, err := filepath.Glob(filepath.Join(escape(dir), scratchPattern+"*"))
	if err != nil {
		return "", nil, err
	}
	for _, left := range leftovers {
		if unlock := lock(left); unlock != nil {
			_ = os.RemoveAll(left)
			unlock()
		}
	}
	for {
		if scratch, err = os.MkdirTemp(dir, scratchPattern); err != nil {
			return "", nil, err
		}
		unlock := lock(scratch)
		if unlock == nil {
			continue // another build took it for a leftover, and removes it
		}
		return scratch, func() error {
			defer unlock()
			return os.RemoveAll(scratch)
		}, nil
	}
}

// lock locks a folder; nil if somebody has it locked, or it is gone.
func lock(dir string) (unlock func()) {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	opened, err := f.Stat()
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if now, gone := os.Stat(dir); err != nil || gone != nil || !os.SameFile(opened, now) {
		f.Close()
		return nil
	}
	return func() { f.Close() }
}

// escape takes the meaning from what is special in a pattern of filepath.Glob.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

// try loads what was built. What cannot be tried is not put in place either.
func try(ctx context.Context, cfg Config, path string) (*inspect.Report, error) {
	r, err := inspect.File(ctx, path, inspect.Options{Executor: cfg.Executor, Missing: cfg.Missing, Timeout: cfg.Timeout})
	if err != nil {
		return nil, err
	}
	switch r.Verdict {
	case inspect.Loads:
		return r, nil
	case inspect.Refused:
		return nil, &RefusedError{r.Form, r.Reason}
	}
	return nil, fmt.Errorf("the %s was not tried, and nothing was replaced: %s", r.Form, r.Reason)
}

// place renames the file to where it belongs. The bytes are on the disk before the name
// is: after a power failure too there is the old file or the new one.
func place(dir string, r *inspect.Report) (Staged, error) {
	s := Staged{Path: catalog.LibraryPath(dir, r.Name), Report: r}
	if r.Form == inspect.Program {
		s.Path = catalog.ProgramPath(dir, r.Name)
	}
	folder := filepath.Dir(s.Path)
	if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return s, err
	}
	if err := sync(r.Path); err != nil {
		return s, err
	}
	_, err := os.Lstat(s.Path)
	s.Replaced = err == nil
	if err := os.Rename(r.Path, s.Path); err != nil {
		return s, err
	}
	return s, errors.Join(sync(folder), sync(dir))
}

// sync waits until a file or folder is on the disk.
func sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
