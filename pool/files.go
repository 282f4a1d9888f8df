package pool

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/protocol"
)

// packageFile is one version of a package, as it is staged.
type packageFile struct {
	path    string
	program bool // it is an executor of its own

	// What tells versions apart.
	inode inode
	size  int64
	mtime unix.StatxTimestamp

	directory inode // of staged.dir, if that is told apart
}

// inode is a file, whatever its name and content.
type inode struct {
	major, minor uint32 // of the device
	number       uint64
}

// location is a path, as it is and as system calls take it.
type location struct {
	path string
	c    *byte
}

func locate(path string) location {
	// It fails for a path with a zero byte, which no file has.
	c, _ := unix.BytePtrFromString(path)
	return location{path, c}
}

// place is where a package was found.
type place struct {
	program, library location
	isProgram        bool
	age              uint64 // of the look for which of them there is
}

// staged finds the files of packages.
type staged struct {
	dir string

	// directories is set if executors are kept to the very directory that was there
	// when they started. What has the same name now may be another.
	directories bool

	known sync.Map      // name to place, of packages that exist: callers name them by the million
	age   atomic.Uint64 // counts up once a second
}

// find looks the package's file up, each time anew: it may have been replaced. A
// program comes before a library; one that appears beside a library is found within
// a second. The error is an *[ExecutorError], as an executor would answer it.
func (s *staged) find(name string) (packageFile, error) {
	if known, ok := s.known.Load(name); ok {
		at := known.(place)
		where := at.library
		if at.isProgram {
			where = at.program
		}
		if at.age == s.age.Load() {
			if file, err := where.stat(); err == nil && (file.program || !at.isProgram) {
				file.program = at.isProgram
				file.directory = s.directory()
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
		program: locate(filepath.Join(s.dir, name, name)),
		library: locate(filepath.Join(s.dir, name, "lib"+name+".so")),
		age:     s.age.Load(),
	}
	file, err := at.program.stat()
	if at.isProgram = err == nil && file.program; !at.isProgram {
		file, err = at.library.stat()
	}
	switch {
	case err == unix.ENOENT || err == unix.ENOTDIR:
		return packageFile{}, noPackage(name, fmt.Sprintf("package %q: there is no file %s", name, at.library.path))
	case err != nil:
		return packageFile{}, noPackage(name, fmt.Sprintf("package %q: stat %s: %v", name, at.library.path, err))
	}
	file.program = at.isProgram
	file.directory = s.directory()
	s.known.Store(name, at)
	return file, nil
}

// directory is the package directory as it is now; zero if it is not there, or not told
// apart.
func (s *staged) directory() inode {
	if !s.directories {
		return inode{}
	}
	file, _ := locate(s.dir).stat()
	return file.inode
}

// stat looks at a file. Each call of a pool does, so it copies no path.
func (l location) stat() (packageFile, error) {
	if l.c == nil {
		return packageFile{}, unix.EINVAL
	}
	var st unix.Statx_t
	at := unix.AT_FDCWD
	_, _, errno := unix.Syscall6(unix.SYS_STATX, uintptr(at), uintptr(unsafe.Pointer(l.c)), 0,
		unix.STATX_BASIC_STATS, uintptr(unsafe.Pointer(&st)), 0)
	if errno != 0 {
		return packageFile{}, errno
	}
	return packageFile{
		path:    l.path,
		program: st.Mode&unix.S_IFMT == unix.S_IFREG && st.Mode&0o111 != 0,
		inode:   inode{st.Dev_major, st.Dev_minor, st.Ino},
		size:    int64(st.Size),
		mtime:   st.Mtime,
	}, nil
}

func noPackage(name, reason string) error {
	return &ExecutorError{Package: name, Kind: InvalidLibrary, Message: reason}
}
