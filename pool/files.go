package pool

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/protocol"
)

// packageFile is one version of a package, as it is staged.
type packageFile struct {
	path    string
	program bool // it is an executor of its own

	// What tells versions apart.
	dev, ino uint64
	size     int64
	mtime    unix.Timespec
}

// place is where a package was found.
type place struct {
	program, library string // paths
	isProgram        bool
	age              uint64 // of the look for which of them there is
}

// staged finds the files of packages.
type staged struct {
	dir   string
	known sync.Map      // name to place, of packages that exist: callers name them by the million
	age   atomic.Uint64 // counts up once a second
}

// find looks the package's file up, each time anew: it may have been replaced. A
// program comes before a library; one that appears beside a library is found within
// a second. The error is an *[ExecutorError], as an executor would answer it.
func (s *staged) find(name string) (packageFile, error) {
	known, ok := s.known.Load(name)
	if ok {
		at := known.(place)
		path := at.library
		if at.isProgram {
			path = at.program
		}
		if at.age == s.age.Load() {
			if file, err := stat(path); err == nil && (file.program || !at.isProgram) {
				file.program = at.isProgram
				return file, nil
			}
		}
	}
	return s.look(name)
}

// look looks at both places.
func (s *staged) look(name string) (packageFile, error) {
	if reason := protocol.BadPackageName(name); reason != "" {
		return packageFile{}, noPackage(name, fmt.Sprintf("package name %q %s: a package is named like its directory below %s", name, reason, s.dir))
	}
	at := place{
		program: filepath.Join(s.dir, name, name),
		library: filepath.Join(s.dir, name, "lib"+name+".so"),
		age:     s.age.Load(),
	}
	file, err := stat(at.program)
	if at.isProgram = err == nil && file.program; !at.isProgram {
		file, err = stat(at.library)
	}
	switch {
	case err == unix.ENOENT || err == unix.ENOTDIR:
		return packageFile{}, noPackage(name, fmt.Sprintf("package %q: there is no file %s", name, at.library))
	case err != nil:
		return packageFile{}, noPackage(name, fmt.Sprintf("package %q: stat %s: %v", name, at.library, err))
	}
	file.program = at.isProgram
	s.known.Store(name, at)
	return file, nil
}

func stat(path string) (packageFile, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return packageFile{}, err
	}
	return packageFile{
		path:    path,
		program: st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o111 != 0,
		dev:     uint64(st.Dev), ino: st.Ino, size: st.Size, mtime: st.Mtim,
	}, nil
}

func noPackage(name, reason string) error {
	return &ExecutorError{Package: name, Kind: InvalidLibrary, Message: reason}
}
