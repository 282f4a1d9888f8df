package wire

import (
	"bytes"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// MaxOutputs bounds, in bytes, what decoding an outputs buffer may occupy:
	// the sequence after decompression plus sliceSize for each payload. It is
	// well above what a graph can put into a frame, and keeps a small buffer
	// that decompresses into a huge one from taking the process down.
	MaxOutputs = 256 << 20

	// compressAbove is how many payload bytes an outputs buffer holds
	// uncompressed.
	compressAbove = 1024

	// sliceSize is the size in bytes of a slice header.
	sliceSize = 24

	// The first byte of an outputs buffer.
	plain      = 0
	compressed = 1

	// The writer's window is that of zstd's level 3; the reader's limit is that
	// of the zstd library, which refuses larger ones too.
	writeWindow = 2 << 20
	readWindow  = 128 << 20
)

// ErrTooLarge is what an outputs buffer that would decode to more than
// [MaxOutputs] gives.
var ErrTooLarge = fmt.Errorf("task outputs: they would take more than %d MiB of memory (the decompressed bytes, and %d bytes for each payload)", MaxOutputs>>20, sliceSize)

// EncodeOutputs builds the task outputs buffer of these payloads, as a commit
// task receives it: plain up to 1,024 payload bytes, compressed above. The error
// is a [*SizeError] if one of them is larger than [MaxPayload].
func EncodeOutputs(payloads [][]byte) ([]byte, error) {
	sum := 0
	for _, p := range payloads {
		if uint64(len(p)) > MaxPayload {
			return nil, &SizeError{Size: uint64(len(p))}
		}
		sum += len(p)
	}
	buffer := make([]byte, 0, 1+lengthSize*(1+len(payloads))+sum)
	buffer = AppendHeader(append(buffer, plain), len(payloads))
	for _, p := range payloads {
		buffer = AppendPayload(buffer, p)
	}
	if sum <= compressAbove {
		return buffer, nil
	}
	var out bytes.Buffer
	out.WriteByte(compressed)
	if err := compress(&out, buffer[1:]); err != nil {
		return nil, fmt.Errorf("task outputs: %w", err)
	}
	return out.Bytes(), nil
}

// DecodeOutputs returns the payloads of a task outputs buffer. They are views
// into raw if that is not compressed. Bytes after the sequence are ignored;
// bytes after the zstd frames that hold it are not.
func DecodeOutputs(raw []byte) ([][]byte, error) {
	return decodeOutputs(raw, decoder, MaxOutputs)
}

// decodeOutputs decodes with the decompressor that newDecoder gave for limit.
func decodeOutputs(raw []byte, decoder func() *zstd.Decoder, limit uint64) ([][]byte, error) {
	if len(raw) == 0 {
		return nil, errors.New("task outputs: the buffer is empty")
	}
	sequence := raw[1:]
	switch raw[0] {
	case plain:
	case compressed:
		var err error
		if sequence, err = decompress(decoder(), sequence); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("task outputs: unknown first byte 0x%02x", raw[0])
	}
	s, err := Parse(sequence)
	if err != nil {
		return nil, fmt.Errorf("task outputs: %w", err)
	}
	if uint64(len(sequence))+sliceSize*uint64(s.Len()) > limit {
		return nil, ErrTooLarge
	}
	payloads := make([][]byte, 0, s.Len())
	for _, p := range s.All() {
		payloads = append(payloads, p)
	}
	return payloads, nil
}

// encoders holds *zstd.Encoder. With a concurrency of 1 they start no
// goroutines, so an unused one can simply be collected.
var encoders = sync.Pool{New: func() any {
	e, err := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(3)),
		zstd.WithWindowSize(writeWindow),
		zstd.WithLowerEncoderMem(true),
		zstd.WithEncoderCRC(false))
	if err != nil {
		panic("wire: " + err.Error()) // the options contradict each other
	}
	return e
}}

// compress writes src to out as one zstd frame without its content size.
func compress(out *bytes.Buffer, src []byte) error {
	e := encoders.Get().(*zstd.Encoder)
	defer func() {
		e.Reset(nil) // drops out
		encoders.Put(e)
	}()
	e.Reset(out)
	_, err := e.Write(src)
	if err == nil {
		// Close on its own would notice that this is all there is and put
		// the content size into the header.
		err = e.Flush()
	}
	if cerr := e.Close(); err == nil {
		err = cerr
	}
	return err
}

// decoder is shared: DecodeAll is safe for concurrent use and, with a
// concurrency of 1, starts no goroutine and makes the callers take turns.
var decoder = sync.OnceValue(func() *zstd.Decoder { return newDecoder(MaxOutputs) })

// newDecoder returns a decompressor that stops soon after limit bytes.
func newDecoder(limit uint64) *zstd.Decoder {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(readWindow),
		zstd.WithDecoderMaxMemory(limit))
	if err != nil {
		panic("wire: " + err.Error()) // the options contradict each other
	}
	return d
}

// decompress returns the content of all zstd frames in b.
func decompress(decoder *zstd.Decoder, b []byte) ([]byte, error) {
	if err := checkFrames(b); err != nil {
		return nil, fmt.Errorf("task outputs: zstd: %w", err)
	}
	content, err := decoder.DecodeAll(b, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return nil, ErrTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("task outputs: zstd: %w", err)
	}
	return content, nil
}
