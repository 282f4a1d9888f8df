package pool

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// onThrowawayThread runs f on a thread that ends with it, so that f may restrict the
// thread: what it forks inherits that, and nothing else of this program does. If f
// returns nil, then is run there too, unless it is nil, and nobody waits for that. The
// runtime ends the thread of a goroutine that exits locked to it, and never clones a new
// thread from one that is locked (newm in its proc.go).
//
// Of the calling thread's own attributes only the processors it may run on are kept. A
// process that f starts with a SysProcAttr.Pdeathsig gets it when the thread ends, so then
// must not return before the process has ended.
func onThrowawayThread(f func() error, then func()) error {
	var cpus *unix.CPUSet
	if own := new(unix.CPUSet); unix.SchedGetaffinity(0, own) == nil {
		cpus = own
	}
	done := make(chan error)
	go throwaway(cpus, func() {
		err := f()
		done <- err
		if err == nil && then != nil {
			then()
		}
	})
	return <-done
}

// throwaway runs f on the thread of the goroutine it is called on, which ends.
func throwaway(cpus *unix.CPUSet, f func()) {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// The main thread cannot end: the runtime would park it for ever, restricted.
		// While this goroutine holds it, the next gets another.
		begun := make(chan struct{})
		go throwaway(cpus, func() {
			close(begun)
			f()
		})
		<-begun
		runtime.UnlockOSThread()
		return
	}
	if cpus != nil {
		var own unix.CPUSet
		if unix.SchedGetaffinity(0, &own) == nil && own != *cpus {
			// A failure is a change of the process's cpuset meanwhile.
			_ = unix.SchedSetaffinity(0, cpus)
		}
	}
	f()
}

// Landlock puts all files out of an executor's reach but those that are listed, and
// what programs need to start: the executor itself (and a script's interpreter, though
// not what that opens), the package directory, the directories of shared libraries (/lib, /usr/lib, /usr/local/lib and the like), the
// time zones, and /dev/null, /dev/zero, /dev/random and /dev/urandom. Access to
// others fails with EACCES. The executor and what tasks start can also send signals
// to each other only, where the kernel supports that (Linux 6.12), and trace nobody
// else.
//
// The files are those that are there when the executor starts. A directory that is put in
// the place of one that is listed is out of its reach; for the package directory a pool
// then starts another executor.
//
// It is about opening, listing, making, removing and executing. What tasks get by
// their request stays theirs: stdin, stdout, stderr and the working directory's
// name. Whether a file exists, and its size and owner, they can still learn.
//
// Not among the files are /proc, since a process's own part of it cannot be named
// before it has started; /tmp; and what name lookups need (/etc). They can be listed.
// Of /proc that shows the command lines of others, but not their memory, environment
// or descriptors.
type Landlock struct {
	// ReadOnly lists files and directories, with all below, that may be read and
	// executed: absolute paths of what exists. A symlink stands for its target.
	// Links out of the package directory work only if their targets are listed.
	ReadOnly []string

	// ReadWrite lists those that may be changed too. That is also where core
	// dumps can be written.
	ReadWrite []string

	// NoTCP forbids to listen on TCP ports and to connect to any. That keeps
	// tasks from doing it by the way, but is no wall: other protocols are not
	// restricted, among them multipath TCP, which Go's listeners use.
	NoTCP bool

	// BestEffort does what the kernel is capable of, perhaps nothing, instead of
	// refusing to start without Landlock of version 3 (Linux 6.2), or 4 (Linux
	// 6.7) for NoTCP.
	BestEffort bool
}

// always are what is readable and executable whatever is listed; a path that is
// missing is nobody's fault.
var always = []struct {
	path   string
	access uint64
}{
	// The dynamic loader and what it loads.
	{"/lib", readable},
	{"/lib32", readable},
	{"/lib64", readable},
	{"/usr/lib", readable},
	{"/usr/lib32", readable},
	{"/usr/lib64", readable},
	{"/usr/local/lib", readable},
	{"/usr/local/lib64", readable},
	{"/etc/ld.so.cache", unix.LANDLOCK_ACCESS_FS_READ_FILE},
	{"/etc/ld.so.preload", unix.LANDLOCK_ACCESS_FS_READ_FILE},
	// Local time, in C and in Go.
	{"/etc/localtime", unix.LANDLOCK_ACCESS_FS_READ_FILE},
	{"/usr/share/zoneinfo", unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR},
	// What runtimes and the C library open.
	{"/dev/null", unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE},
	{"/dev/zero", unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE},
	{"/dev/random", unix.LANDLOCK_ACCESS_FS_READ_FILE},
	{"/dev/urandom", unix.LANDLOCK_ACCESS_FS_READ_FILE},
	{"/sys/devices/system/cpu/online", unix.LANDLOCK_ACCESS_FS_READ_FILE},
	{"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", unix.LANDLOCK_ACCESS_FS_READ_FILE},
}

const (
	readable = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR

	// devices are not made even where all else may be.
	devices = unix.LANDLOCK_ACCESS_FS_MAKE_CHAR | unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK

	// ofFiles are the rights that a rule on a file can give.
	ofFiles = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
)

// landlockVersion is what the kernel can do: 0 is nothing.
var landlockVersion = sync.OnceValue(func() int {
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(version)
})

// handled is what a kernel of this version is to refuse where no rule allows it.
func (l *Landlock) handled(version int) unix.LandlockRulesetAttr {
	attr := unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1}
	if version >= 2 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 && l.NoTCP {
		attr.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 5 {
		attr.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_SIGNAL
	}
	return attr
}

func (l *Landlock) faults() (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	switch version := landlockVersion(); {
	case l.BestEffort:
	case version == 0:
		fault(" is set, but this kernel has none")
	case version < 3:
		fault(" is set, but this kernel's is of version %d and cannot keep files from being truncated", version)
	case version < 4 && l.NoTCP:
		fault(".NoTCP is set, but this kernel's Landlock is of version %d and knows nothing of TCP", version)
	}
	check := func(field string, paths []string) {
		for i, path := range paths {
			if !filepath.IsAbs(path) {
				fault(".%s[%d]: %q is no absolute path", field, i, path)
			} else if _, err := os.Stat(path); err != nil {
				fault(".%s[%d]: %v", field, i, err)
			}
		}
	}
	check("ReadOnly", l.ReadOnly)
	check("ReadWrite", l.ReadWrite)
	return faults
}

// rules are a Landlock ruleset. Nil restricts nothing.
type rules struct {
	fd      int
	handled uint64
}

// ruleset makes the rules for a program that is about to be started. It is nil if l is
// nil, or the kernel has no Landlock and that is allowed.
func (l *Landlock) ruleset(cmd *exec.Cmd) (r *rules, err error) {
	version := landlockVersion()
	if l == nil || version == 0 {
		return nil, nil
	}
	attr := l.handled(version)
	fd, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("landlock_create_ruleset", errno)
	}
	r = &rules{fd: int(fd), handled: attr.Handled_access_fs}
	defer func() {
		if err != nil {
			r.close()
			r = nil
		}
	}()

	optional := func(path string, access uint64) {
		if e := r.allow(path, access); e != nil && !missing(e) {
			err = errors.Join(err, e)
		}
	}
	for _, a := range always {
		optional(a.path, a.access)
	}
	for _, file := range startsWith(within(cmd.Dir, cmd.Path)) {
		optional(file, readable)
	}
	if dir := packagesOf(cmd); dir != "" {
		optional(dir, readable)
	}
	for _, path := range l.ReadOnly {
		err = errors.Join(err, r.allow(path, readable))
	}
	for _, path := range l.ReadWrite {
		err = errors.Join(err, r.allow(path, r.handled&^devices))
	}
	return r, err
}

// allow gives access to a file, or to a directory and all below.
func (r *rules) allow(path string, access uint64) error {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= ofFiles
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access & r.handled, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(r.fd), unix.LANDLOCK_RULE_PATH_BENEATH,
		uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return &os.PathError{Op: "landlock_add_rule", Path: path, Err: errno}
	}
	return nil
}

// restrictThread puts the calling thread, which must have no_new_privs, under the
// rules. There is no way back.
func (r *rules) restrictThread() error {
	if r == nil {
		return nil
	}
	_, _, errno := unix.RawSyscall(unix.SYS_LANDLOCK_RESTRICT_SELF, uintptr(r.fd), 0, 0)
	if errno != 0 {
		return os.NewSyscallError("landlock_restrict_self", errno)
	}
	return nil
}

func (r *rules) close() {
	if r != nil {
		unix.Close(r.fd)
	}
}

// missing reports whether this process cannot reach a path itself, so that a child
// cannot miss it.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOTDIR)
}

// packagesOf is where a program that is about to be started will look for packages, "" if
// it is not told.
func packagesOf(cmd *exec.Cmd) string {
	dir := assigned(cmd.Environ(), envPackageDir)
	if dir == "" {
		return ""
	}
	return within(cmd.Dir, dir)
}

// within is a path as a process sees it that works in dir.
func within(dir, path string) string {
	if dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// startsWith lists what the kernel opens to start a program: itself, the interpreter if
// it is a script, which may be a script too, and the dynamic loader.
func startsWith(program string) (files []string) {
	const scripts = 5 // the kernel follows no more
	for range scripts {
		files = append(files, program)
		next := scriptInterpreter(program)
		if next == "" {
			break
		}
		program = next
	}
	if loader := interpreter(program); loader != "" {
		files = append(files, loader)
	}
	return files
}

// scriptInterpreter is the program that the first line of a script names, "" if it is no
// script.
func scriptInterpreter(path string) string {
	// Not what is no regular file: to open it might wait.
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	begin := make([]byte, 256) // as the kernel does
	n, _ := io.ReadFull(f, begin)
	line, script := strings.CutPrefix(string(begin[:n]), "#!")
	if !script {
		return ""
	}
	line, _, _ = strings.Cut(line, "\n")
	name, _, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
	name, _, _ = strings.Cut(name, "\t")
	return name
}

// interpreter is the dynamic loader that an ELF program names, "" if it names none.
func interpreter(program string) string {
	f, err := elf.Open(program)
	if err != nil {
		return ""
	}
	defer f.Close()
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP && segment.Filesz < unix.PathMax {
			name, err := io.ReadAll(segment.Open())
			if err != nil {
				return ""
			}
			return strings.TrimRight(string(name), "\x00")
		}
	}
	return ""
}
