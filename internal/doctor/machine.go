package doctor

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func (e *examination) kernel() {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		e.add("kernel", Note, "", "%v", err)
	} else {
		e.add("kernel", OK, "", "%s %s", unix.ByteSliceToString(name.Sysname[:]), unix.ByteSliceToString(name.Release[:]))
	}

	if fd, err := unix.PidfdOpen(os.Getpid(), 0); err != nil {
		e.add("pidfd", Note, "Linux 5.3 or newer has it; without, the end of a process is seen later", "%v", err)
	} else {
		unix.Close(fd)
		e.add("pidfd", OK, "", "the end of a process is seen at once")
	}

	if fd, err := unix.MemfdCreate("spider-doctor", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING); err != nil {
		e.add("memfd", Note, "Linux 3.17 or newer has it; a sandbox may forbid it", "%v", err)
	} else {
		unix.Close(fd)
		e.add("memfd", OK, "", "sealed files in memory can be made")
	}

	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch {
	case errno == unix.EOPNOTSUPP:
		e.add("Landlock", Note, "boot with lsm=landlock,... to have executors sandboxed", "this kernel has it, but it is switched off")
	case errno != 0:
		e.add("Landlock", Note, "Linux 5.13 or newer has it; without, executors cannot be kept from files", "%v", errno)
	case version < 3:
		e.add("Landlock", Note, "Linux 6.2 or newer has version 3, which the sandbox asks for", "version %d", version)
	default:
		e.add("Landlock", OK, "", "version %d: executors can be kept from files", version)
	}
}

// Limits below these are too low for a pool of executors on a machine of usual size.
const (
	fewFiles     = 1024
	fewProcesses = 512
	largePipe    = 1 << 20 // bytes; what pipes are widened to for large payloads
)

func (e *examination) limits() {
	var files unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &files); err == nil {
		level, advice := OK, ""
		if files.Cur < fewFiles {
			level, advice = Note, fmt.Sprintf("an executor takes about 6: raise it, with ulimit -n %d", fewFiles)
		}
		e.add("open files", level, advice, "%s", limit(files.Cur))
	}
	var processes unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NPROC, &processes); err == nil {
		level, advice := OK, ""
		if processes.Cur < fewProcesses && os.Geteuid() != 0 {
			level, advice = Note, fmt.Sprintf("an executor has about 8 threads, which count: raise it, with ulimit -u %d", fewProcesses)
		}
		e.add("processes", level, advice, "%s", limit(processes.Cur))
	}
	e.pipes()
	e.cores()
}

func limit(n uint64) string {
	if n == unix.RLIM_INFINITY {
		return "unlimited"
	}
	return strconv.FormatUint(n, 10)
}

// pipes tells how many executors get pipes that are large enough for large payloads.
func (e *examination) pipes() {
	size, err := kernelNumber("/proc/sys/fs/pipe-max-size")
	if err == nil && size < largePipe {
		e.add("pipes", Note, fmt.Sprintf("payloads over 64 KiB are slower than they could be: sysctl fs.pipe-max-size=%d", largePipe), "of %d bytes at most", size)
		return
	}
	pages, err := kernelNumber("/proc/sys/fs/pipe-user-pages-soft")
	switch {
	case err != nil:
		e.add("pipes", Note, "", "%v", err)
	case pages == 0 || os.Geteuid() == 0:
		e.add("pipes", OK, "", "as many as are needed, of %d bytes", largePipe)
	default:
		// Two pipes for each.
		executors := pages * os.Getpagesize() / (2 * largePipe)
		level, advice := OK, ""
		if executors < 16 {
			level, advice = Note, "more executors with payloads over 64 KiB are slower: sysctl fs.pipe-user-pages-soft=65536"
		}
		e.add("pipes", level, advice, "large ones for %d executors, then small ones", executors)
	}
}

func kernelNumber(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

// cores tells where the core dumps are that executors write if they are told to.
func (e *examination) cores() {
	b, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		e.add("core dumps", Note, "", "%v", err)
		return
	}
	pattern := strings.TrimSpace(string(b))
	var cores unix.Rlimit
	_ = unix.Getrlimit(unix.RLIMIT_CORE, &cores)
	const asked = "executors write none unless $SPIDER_CORE_DUMPS is on; then "
	program, piped := strings.CutPrefix(pattern, "|")
	switch {
	case pattern == "":
		e.add("core dumps", OK, "", asked+"the kernel writes none either")
	case piped:
		name, _, _ := strings.Cut(program, " ")
		e.add("core dumps", OK, "", asked+"%s gets them", name)
	case cores.Max == 0:
		e.add("core dumps", OK, "", asked+"there are none either: ulimit -c is 0")
	default:
		e.add("core dumps", OK, "", asked+"they are files %s", pattern)
	}
}
