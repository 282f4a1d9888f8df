package loader

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// What is needed of the 64-bit, little-endian ELF format: offsets in bytes. Package
// debug/elf knows it all, and makes every executor start a tenth of a millisecond later.
const (
	elfIdent     = "\x7fELF\x02\x01" // magic, 64 bits, little-endian
	headerSize   = 64
	headerPhoff  = 32 // u64: where the program headers are
	headerPhsize = 54 // u16: how large one is
	headerPhnum  = 56 // u16: how many there are

	segmentSize   = 56
	segmentType   = 0 // u32
	segmentOffset = 8 // u64: where it is in the file
	segmentFilesz = 32
	segmentLoad   = 1 // the type of what is mapped
)

// complete reports an ELF file of size bytes that ends before what it says of itself, as a copy
// under way or a full disk leaves it. The dynamic linker would map it all the same,
// and the process would die of SIGBUS at the first page that is not there. What is
// no 64-bit ELF file, or damaged otherwise, the linker refuses by itself.
func complete(path string, size uint64) error {
	f, err := openRaw(path)
	if err != nil {
		return err
	}
	defer f.close()
	header := make([]byte, headerSize)
	if _, err := f.ReadAt(header, 0); err != nil || !strings.HasPrefix(string(header), elfIdent) {
		return nil
	}
	at := binary.LittleEndian.Uint64(header[headerPhoff:])
	entrySize := uint64(binary.LittleEndian.Uint16(header[headerPhsize:]))
	segment := make([]byte, segmentSize)
	for range binary.LittleEndian.Uint16(header[headerPhnum:]) {
		if _, err := f.ReadAt(segment, int64(at)); err != nil {
			return fmt.Errorf("the file is incomplete: its %d bytes end before the program headers", size)
		}
		at += entrySize
		if binary.LittleEndian.Uint32(segment[segmentType:]) != segmentLoad {
			continue
		}
		offset, filesz := binary.LittleEndian.Uint64(segment[segmentOffset:]), binary.LittleEndian.Uint64(segment[segmentFilesz:])
		if offset > size || filesz > size-offset {
			return fmt.Errorf("the file is incomplete: it has %d bytes, a segment needs %d", size, offset+filesz)
		}
	}
	return nil
}

// rawFile is a file that Go's runtime knows nothing of. An os.File has it open an epoll and an
// event descriptor for the rest of the process's life, with the lowest free numbers: those
// that careless tasks close.
type rawFile int

func openRaw(path string) (rawFile, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		switch err {
		case nil:
			return rawFile(fd), nil
		case unix.EINTR:
		default:
			return -1, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}

// ReadAt implements [io.ReaderAt].
func (f rawFile) ReadAt(b []byte, at int64) (n int, err error) {
	for n < len(b) {
		m, err := unix.Pread(int(f), b[n:], at+int64(n))
		switch {
		case err == unix.EINTR:
		case err != nil:
			return n, os.NewSyscallError("pread", err)
		case m == 0:
			return n, io.EOF
		default:
			n += m
		}
	}
	return n, nil
}

func (f rawFile) close() { unix.Close(int(f)) }
