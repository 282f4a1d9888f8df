package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

const (
	zstdMagic     = 0xfd2fb528
	skipMagic     = 0x184d2a50 // of skippable frames, the last four bits are free
	skipMagicMask = 0xfffffff0
	maxBlock      = 128 << 10 // bytes that one block decompresses to, at most
)

// checkFrames walks over the zstd frames in b, skippable ones included, from
// block header to block header. The decompressor lets pass what ends in the
// middle of a magic number, and allocates what a frame header claims; so it
// only gets to see frames that are complete, with nothing between and behind
// them, whose claims their blocks can meet.
func checkFrames(b []byte) error {
	if len(b) == 0 {
		return errors.New("no frame")
	}
	for at := 0; at < len(b); {
		size, err := frameSize(b[at:])
		if err != nil {
			return fmt.Errorf("frame at offset %d: %w", at, err)
		}
		at += size
	}
	return nil
}

// frameSize returns how many bytes of b its first frame takes.
func frameSize(b []byte) (int, error) {
	if len(b) < 4 {
		return 0, io.ErrUnexpectedEOF
	}
	magic := binary.LittleEndian.Uint32(b)
	if magic&skipMagicMask == skipMagic {
		if len(b) < 8 {
			return 0, io.ErrUnexpectedEOF
		}
		size := uint64(binary.LittleEndian.Uint32(b[4:]))
		if size > uint64(len(b)-8) {
			return 0, io.ErrUnexpectedEOF
		}
		return 8 + int(size), nil
	}
	if magic != zstdMagic {
		return 0, zstd.ErrMagicMismatch
	}
	var header zstd.Header
	if err := header.Decode(b); err != nil {
		return 0, err
	}
	at := header.HeaderSize
	var possible uint64 // bytes that the blocks can decompress to
	for last := false; !last; {
		if len(b)-at < 3 {
			return 0, io.ErrUnexpectedEOF
		}
		block := uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16
		at += 3
		last = block&1 != 0
		size := int(block >> 3)
		switch block >> 1 & 3 {
		case 0: // stored
			possible += uint64(size)
		case 1: // one byte, repeated
			possible += uint64(min(size, maxBlock))
			size = 1
		case 2: // compressed
			possible += maxBlock
		default:
			return 0, zstd.ErrReservedBlockType
		}
		if size > len(b)-at {
			return 0, io.ErrUnexpectedEOF
		}
		at += size
	}
	if header.HasCheckSum {
		if len(b)-at < 4 {
			return 0, io.ErrUnexpectedEOF
		}
		at += 4
	}
	if header.HasFCS && header.FrameContentSize > possible {
		return 0, fmt.Errorf("claims a content of %d bytes, has blocks for %d", header.FrameContentSize, possible)
	}
	return at, nil
}
