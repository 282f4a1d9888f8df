package loader

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
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
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
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
