package protocol

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

const (
	// HeaderSize is the length of a frame's header in bytes.
	HeaderSize = 4

	// DefaultMaxFrame is the largest body, in bytes, that a frame may have
	// unless both ends agreed on another limit. A body of exactly this size is
	// legal.
	DefaultMaxFrame = 8 << 20

	// readBuffer is what a Reader starts with. It also bounds, together with
	// what has already arrived, how far the buffer grows for a frame whose
	// header claims more.
	readBuffer = 64 << 10

	// maxEmptyReads is how often in a row an io.Reader may return 0, nil.
	maxEmptyReads = 100
)

// FrameTooLargeError says that a frame's body is larger than the limit in force.
type FrameTooLargeError struct {
	Size  uint64 // bytes of body, as announced by the header or about to be sent
	Limit int    // bytes
}

func (e *FrameTooLargeError) Error() string {
	return fmt.Sprintf("frame of %d bytes is over the limit of %d bytes", e.Size, e.Limit)
}

// TruncatedError says that the stream ended inside a frame. It unwraps to
// [io.ErrUnexpectedEOF].
type TruncatedError struct {
	Frame  uint64 // complete frames read before this one
	Header bool   // the end came inside the header, else inside the body
	Got    int    // bytes of the header, or of the body, that arrived
	Want   int    // bytes the header has, or the body was announced to have
}

func (e *TruncatedError) Error() string {
	part := "body"
	if e.Header {
		part = "header"
	}
	return fmt.Sprintf("stream ended inside the %s of frame %d: %d of %d bytes arrived",
		part, e.Frame+1, e.Got, e.Want)
}

// Unwrap returns io.ErrUnexpectedEOF.
func (e *TruncatedError) Unwrap() error { return io.ErrUnexpectedEOF }

// CheckFrame returns a [*FrameTooLargeError] if a body of size bytes is over max,
// or over what a header can express. A max of 0 or less means [DefaultMaxFrame].
func CheckFrame(size, max int) error {
	if max = frameLimit(max); size > max {
		return &FrameTooLargeError{Size: uint64(size), Limit: max}
	}
	return nil
}

// frameLimit maps a configured limit to the one in force.
func frameLimit(max int) int {
	if max <= 0 {
		return DefaultMaxFrame
	}
	return int(min(uint64(max), math.MaxUint32))
}

// appendFrameHeader starts a frame whose body has size bytes. Its callers are
// the Append functions, and theirs have checked the size with CheckFrame: a
// body that no header can express is a mistake in the program.
func appendFrameHeader(dst []byte, size int) []byte {
	if uint64(size) > math.MaxUint32 {
		panic("protocol: frame body over 4 GiB")
	}
	return binary.BigEndian.AppendUint32(dst, uint32(size))
}

// A Reader splits a byte stream into frames. It buffers, so bytes that follow a
// frame stay in it: a stream must be read through one Reader only. Not for
// concurrent use.
type Reader struct {
	src    io.Reader
	max    int
	chunk  int    // readBuffer, less in tests
	buf    []byte // len(buf) is all there is: buf[start:end] is unread
	start  int
	end    int
	frames uint64 // complete frames handed out
	err    error  // came with the last bytes, is due when they are used up
}

// NewReader returns a Reader on r that refuses frames whose body is larger than
// maxFrame bytes; 0 or less means [DefaultMaxFrame]. Its buffer starts at
// 64 KiB, grows with what arrives, and is kept: a Reader holds at most
// maxFrame + HeaderSize bytes, or 64 KiB if that is more.
func NewReader(r io.Reader, maxFrame int) *Reader {
	return newReader(r, maxFrame, readBuffer)
}

func newReader(r io.Reader, maxFrame, chunk int) *Reader {
	return &Reader{src: r, max: frameLimit(maxFrame), chunk: chunk, buf: make([]byte, chunk)}
}

// Buffered returns how many bytes have been read from the stream but not handed
// out as a frame.
func (r *Reader) Buffered() int { return r.end - r.start }

// ReadFrame returns the body of the next frame, a view that is valid until the
// next call. The error is io.EOF exactly if the stream ended between frames, a
// [*TruncatedError] if it ended inside one, a [*FrameTooLargeError] as soon as a
// header announces too much, else the stream's own. Bytes that arrived before
// an error of the stream itself are kept, so a call after a timeout goes on
// where the last one stopped.
func (r *Reader) ReadFrame() ([]byte, error) {
	if err := r.fill(HeaderSize); err != nil {
		if err == io.EOF && r.Buffered() > 0 {
			err = &TruncatedError{Frame: r.frames, Header: true, Got: r.Buffered(), Want: HeaderSize}
		}
		return nil, err
	}
	size := binary.BigEndian.Uint32(r.buf[r.start:])
	if uint64(size) > uint64(r.max) {
		return nil, &FrameTooLargeError{Size: uint64(size), Limit: r.max}
	}
	n := int(size)
	if err := r.fill(HeaderSize + n); err != nil {
		if err == io.EOF {
			err = &TruncatedError{Frame: r.frames, Got: r.Buffered() - HeaderSize, Want: n}
		}
		return nil, err
	}
	body := r.buf[r.start+HeaderSize : r.start+HeaderSize+n : r.start+HeaderSize+n]
	r.start += HeaderSize + n
	r.frames++
	return body, nil
}

// Skip reads past the frame that ReadFrame has just refused as too large, and keeps nothing
// of it. After an error the stream is of no more use.
func (r *Reader) Skip() error {
	want := int(binary.BigEndian.Uint32(r.buf[r.start:]))
	r.start += HeaderSize
	for left := want; ; {
		n := min(left, r.Buffered())
		r.start += n
		if left -= n; left == 0 {
			r.frames++
			return nil
		}
		if err := r.fill(1); err == io.EOF {
			return &TruncatedError{Frame: r.frames, Got: want - left, Want: want}
		} else if err != nil {
			return err
		}
	}
}

// fill reads until need bytes are buffered.
func (r *Reader) fill(need int) error {
	empty := 0
	for r.Buffered() < need {
		if r.err != nil {
			err := r.err
			if err != io.EOF {
				r.err = nil // as bufio does: the next call may try again
			}
			return err
		}
		r.makeRoom(need)
		n, err := r.src.Read(r.buf[r.end:])
		if n < 0 || n > len(r.buf)-r.end {
			return fmt.Errorf("protocol: Read returned an impossible count %d", n)
		}
		r.end += n
		r.err = err
		if n > 0 || err != nil {
			empty = 0
		} else if empty++; empty >= maxEmptyReads {
			return io.ErrNoProgress
		}
	}
	return nil
}

// makeRoom moves the unread bytes to the front, so that one Read can fetch as
// much as possible, and grows a full buffer: to what is needed, but to no more
// than twice what has arrived plus a chunk, because need is only a claim.
func (r *Reader) makeRoom(need int) {
	have := r.Buffered()
	if have == len(r.buf) {
		grown := make([]byte, min(need, 2*have+r.chunk))
		copy(grown, r.buf[r.start:r.end])
		r.buf = grown
	} else if r.start > 0 {
		copy(r.buf, r.buf[r.start:r.end])
	}
	r.start, r.end = 0, have
}
