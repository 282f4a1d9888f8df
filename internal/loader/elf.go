package loader

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
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
	var header elf.Header64
	ident := make([]byte, binary.Size(header))
	if _, err := f.ReadAt(ident, 0); err != nil || !bytes.HasPrefix(ident, []byte(elf.ELFMAG)) ||
		elf.Class(ident[elf.EI_CLASS]) != elf.ELFCLASS64 || elf.Data(ident[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return nil
	}
	if _, err := binary.Decode(ident, binary.LittleEndian, &header); err != nil {
		return err
	}
	entry := make([]byte, binary.Size(elf.Prog64{}))
	for i := range uint64(header.Phnum) {
		var segment elf.Prog64
		if _, err := f.ReadAt(entry, int64(header.Phoff+i*uint64(header.Phentsize))); err != nil {
			return fmt.Errorf("the file is incomplete: its %d bytes end before the program headers", size)
		}
		if _, err := binary.Decode(entry, binary.LittleEndian, &segment); err != nil {
			return err
		}
		if elf.ProgType(segment.Type) == elf.PT_LOAD && (segment.Off > size || segment.Filesz > size-segment.Off) {
			return fmt.Errorf("the file is incomplete: it has %d bytes, a segment needs %d", size, segment.Off+segment.Filesz)
		}
	}
	return nil
}
