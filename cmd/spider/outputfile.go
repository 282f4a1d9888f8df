package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// outputFile is the file that stdout goes to, as it is before anything is written.
type outputFile struct {
	path     string
	begin    int64 // where what is written begins, in bytes
	appended bool  // the shell has opened it with >>
	midLine  bool  // what stands before begin lacks the end of its last line
}

// findOutputFile returns nil if out is no regular file, or one that has no path.
func findOutputFile(out io.Writer) *outputFile {
	file, ok := out.(*os.File)
	if !ok {
		return nil
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	fd := file.Fd()
	link := fmt.Sprintf("/proc/self/fd/%d", fd)
	o := &outputFile{}
	if o.path, err = os.Readlink(link); err != nil {
		return nil
	}
	if there, err := os.Stat(o.path); err != nil || !os.SameFile(info, there) {
		return nil // it has been removed
	}
	if dir, err := os.Getwd(); err == nil {
		if relative, err := filepath.Rel(dir, o.path); err == nil && !strings.HasPrefix(relative, "..") {
			o.path = relative
		}
	}
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	if err != nil {
		return nil
	}
	if o.appended = flags&unix.O_APPEND != 0; o.appended {
		o.begin = info.Size()
	} else if o.begin, err = file.Seek(0, io.SeekCurrent); err != nil {
		return nil
	}
	o.midLine = o.begin > 0 && !endsLine(link, o.begin)
	return o
}

// endsLine reports whether a file has the end of a line right before an offset, or cannot
// be read.
func endsLine(path string, offset int64) bool {
	f, err := os.Open(path) // stdout itself may be for writing only
	if err != nil {
		return true
	}
	defer f.Close()
	var last [1]byte
	n, _ := f.ReadAt(last[:], offset-1)
	return n == 0 || last[0] == '\n'
}

// howToResume says how a map goes on that has written to the file.
func (o *outputFile) howToResume() string {
	path, redirection := shellWord(o.path), ">"
	if o.appended {
		redirection = ">>"
	}
	if o.begin == 0 {
		return fmt.Sprintf("; go on with --resume %s in place of %s %s", path, redirection, path)
	}
	// Its records are behind others, with which it cannot go on.
	part := shellWord(o.path + ".part")
	return fmt.Sprintf("; its records are behind what was in %s: to go on, tail -c +%d %s >%s, and --resume %s in place of %s %s",
		path, o.begin+1, path, part, part, redirection, path)
}
