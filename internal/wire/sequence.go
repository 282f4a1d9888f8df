package wire

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"slices"
)

const (
	// MaxPayload is the largest payload, in bytes, that a sequence can carry.
	MaxPayload = math.MaxUint32

	// MaxPayloads is the largest number of payloads in a sequence.
	MaxPayloads = math.MaxUint32

	// lengthSize is the size in bytes of the count and of each length.
	lengthSize = 4
)

// SizeError says that a payload is too large for a sequence.
type SizeError struct {
	Size uint64 // bytes
}

func (e *SizeError) Error() string {
	return fmt.Sprintf("payload of %d bytes is over the limit of %d bytes", e.Size, uint64(MaxPayload))
}

// AppendHeader starts a sequence of count payloads. It panics if count is not
// between 0 and [MaxPayloads].
func AppendHeader(dst []byte, count int) []byte {
	if count < 0 || uint64(count) > MaxPayloads {
		panic(fmt.Sprintf("wire: a sequence of %d payloads", count))
	}
	return binary.LittleEndian.AppendUint32(dst, uint32(count))
}

// AppendPayload appends one payload of a sequence that [AppendHeader] started.
// It panics if the payload is larger than [MaxPayload], which is also more than
// fits any frame.
func AppendPayload(dst, payload []byte) []byte {
	if uint64(len(payload)) > MaxPayload {
		panic("wire: payload over 4 GiB")
	}
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	return append(dst, payload...)
}

// BeginPayload starts a payload whose bytes the caller appends itself, without
// knowing yet how many there will be. [EndPayload], with the same mark, must
// follow.
func BeginPayload(dst []byte) (_ []byte, mark int) {
	return append(dst, 0, 0, 0, 0), len(dst)
}

// EndPayload ends the payload that [BeginPayload] started: everything in dst
// since then is its content. A [*SizeError] says that this is more than
// [MaxPayload].
func EndPayload(dst []byte, mark int) ([]byte, error) {
	size := uint64(len(dst) - mark - lengthSize)
	if size > MaxPayload {
		return dst, &SizeError{Size: size}
	}
	binary.LittleEndian.PutUint32(dst[mark:], uint32(size))
	return dst, nil
}

// SequenceError says where a sequence claims more than is there.
type SequenceError struct {
	Payload int    // which payload, from 0; -1 for the count in front of them
	Count   int    // how many the sequence announces; 0 if the count is cut short
	Offset  int    // bytes from the start to the count or length that is wrong
	Want    uint64 // payload bytes, or payloads if Payload is -1; 0 if those four bytes are cut short themselves
	Have    int    // bytes left for them
}

func (e *SequenceError) Error() string {
	switch {
	case e.Payload < 0 && e.Want == 0:
		return fmt.Sprintf("payload count: needs %d bytes at offset %d (%d bytes left)", lengthSize, e.Offset, e.Have)
	case e.Payload < 0:
		return fmt.Sprintf("payload count: %d at offset %d is more than can follow (%d bytes left)", e.Want, e.Offset, e.Have)
	case e.Want == 0:
		return fmt.Sprintf("payload %d of %d: needs a length of %d bytes at offset %d (%d bytes left)",
			e.Payload+1, e.Count, lengthSize, e.Offset, e.Have)
	}
	return fmt.Sprintf("payload %d of %d: length %d at offset %d goes past the end (%d bytes left)",
		e.Payload+1, e.Count, e.Want, e.Offset, e.Have)
}

// Sequence is a parsed sequence: its payloads are views into the bytes it was
// parsed from. The zero value has no payloads.
type Sequence struct {
	count int
	next  int    // payloads that Next has returned
	rest  []byte // from the length of the next payload on
}

// Parse checks a whole sequence, without copying or allocating anything. Bytes
// after it are ignored. A non-nil error is a [*SequenceError].
func Parse(b []byte) (Sequence, error) {
	if len(b) < lengthSize {
		return Sequence{}, &SequenceError{Payload: -1, Have: len(b)}
	}
	claimed := binary.LittleEndian.Uint32(b)
	rest := b[lengthSize:]
	if uint64(claimed) > uint64(len(rest)/lengthSize) {
		return Sequence{}, &SequenceError{Payload: -1, Count: int(min(uint64(claimed), math.MaxInt)),
			Want: uint64(claimed), Have: len(rest)}
	}
	count := int(claimed)
	at := lengthSize
	for i := range count {
		left := len(b) - at
		if left < lengthSize {
			return Sequence{}, &SequenceError{Payload: i, Count: count, Offset: at, Have: left}
		}
		size := binary.LittleEndian.Uint32(b[at:])
		left -= lengthSize
		if uint64(size) > uint64(left) {
			return Sequence{}, &SequenceError{Payload: i, Count: count, Offset: at, Want: uint64(size), Have: left}
		}
		at += lengthSize + int(size)
	}
	return Sequence{count: count, rest: rest[:at-lengthSize]}, nil
}

// Len returns how many payloads the sequence has, whether or not Next has
// returned them.
func (s Sequence) Len() int { return s.count }

// Next returns the next payload, and false after the last.
func (s *Sequence) Next() ([]byte, bool) {
	if s.next == s.count {
		return nil, false
	}
	end := lengthSize + int(binary.LittleEndian.Uint32(s.rest))
	payload := s.rest[lengthSize:end:end]
	s.rest = s.rest[end:]
	s.next++
	return payload, true
}

// All iterates over the payloads that Next has not returned, with their indices
// in the sequence. It does not advance s.
func (s Sequence) All() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for s := s; ; {
			i := s.next
			payload, ok := s.Next()
			if !ok || !yield(i, payload) {
				return
			}
		}
	}
}

// Split parses a sequence and appends its payloads, as views into b, to dst. On
// an error, a [*SequenceError], it returns dst as it was.
func Split(dst [][]byte, b []byte) ([][]byte, error) {
	s, err := Parse(b)
	if err != nil {
		return dst, err
	}
	dst = slices.Grow(dst, s.Len())
	for {
		payload, ok := s.Next()
		if !ok {
			return dst, nil
		}
		dst = append(dst, payload)
	}
}
