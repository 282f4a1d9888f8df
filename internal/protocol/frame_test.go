package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// frame builds a frame around body.
func frame(body []byte) []byte {
	return append(appendFrameHeader(nil, len(body)), body...)
}

// countingReader counts the calls that reach r.
type countingReader struct {
	r     io.Reader
	calls int
}

func (c *countingReader) Read(p []byte) (int, error) {
	c.calls++
	return c.r.Read(p)
}

// script is a reader that returns one step per call.
type script []struct {
	data string
	err  error
}

func (s *script) Read(p []byte) (int, error) {
	if len(*s) == 0 {
		return 0, nil
	}
	step := (*s)[0]
	*s = (*s)[1:]
	return copy(p, step.data), step.err
}

func TestReadFrame(t *testing.T) {
	t.Parallel()
	big := bytes.Repeat([]byte("0123456789abcdef"), 300<<10/16)
	bodies := [][]byte{
		[]byte("one"), {}, []byte("two"), big, {}, []byte("three"), big[:readBuffer], big[:readBuffer-HeaderSize],
	}
	var stream []byte
	for _, b := range bodies {
		stream = append(stream, frame(b)...)
	}
	readers := map[string]func(io.Reader) io.Reader{
		"plain":    func(r io.Reader) io.Reader { return r },
		"one byte": iotest.OneByteReader,
		"half":     iotest.HalfReader,
		"data+err": iotest.DataErrReader,
	}
	for name, wrap := range readers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := NewReader(wrap(bytes.NewReader(stream)), 0)
			for i, want := range bodies {
				got, err := r.ReadFrame()
				if err != nil {
					t.Fatalf("frame %d: %v", i, err)
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("frame %d: got %d bytes, want %d, or other ones", i, len(got), len(want))
				}
				if cap(got) != len(got) {
					t.Errorf("frame %d: appending to the view would overwrite what follows", i)
				}
			}
			for range 2 {
				if _, err := r.ReadFrame(); err != io.EOF {
					t.Fatalf("at the end: %v, want io.EOF", err)
				}
			}
		})
	}
}

func TestReadFrameOneRead(t *testing.T) {
	t.Parallel()
	src := &countingReader{r: bytes.NewReader(append(frame([]byte("first")), frame([]byte("second"))...))}
	r := NewReader(src, 0)
	if _, err := r.ReadFrame(); err != nil {
		t.Fatal(err)
	}
	if want := HeaderSize + len("second"); r.Buffered() != want {
		t.Errorf("Buffered is %d, want %d", r.Buffered(), want)
	}
	if _, err := r.ReadFrame(); err != nil {
		t.Fatal(err)
	}
	if src.calls != 1 {
		t.Errorf("two small frames took %d reads, want 1", src.calls)
	}
}

func TestReadFrameTruncated(t *testing.T) {
	t.Parallel()
	whole := append(frame([]byte("first")), frame([]byte("second"))...)
	first := HeaderSize + len("first")
	for cut := range whole {
		r := NewReader(bytes.NewReader(whole[:cut]), 0)
		var err error
		for err == nil {
			_, err = r.ReadFrame()
		}
		inside := cut % first // the second frame is cut before it is as long as that
		number := uint64(cut / first)
		if cut == first+first {
			inside, number = first, 1
		}
		if inside == 0 {
			if err != io.EOF {
				t.Errorf("cut at %d: %v, want io.EOF", cut, err)
			}
			continue
		}
		want := TruncatedError{Frame: number, Header: inside < HeaderSize, Got: inside, Want: HeaderSize}
		if !want.Header {
			want.Got -= HeaderSize
			want.Want = len("first") + int(number)
		}
		var got *TruncatedError
		if !errors.As(err, &got) || *got != want {
			t.Errorf("cut at %d: %v, want %v", cut, err, &want)
		}
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: the error is not io.ErrUnexpectedEOF", cut)
		}
	}
	const text = "stream ended inside the body of frame 2: 3 of 6 bytes arrived"
	r := NewReader(bytes.NewReader(whole[:len(whole)-3]), 0)
	r.ReadFrame()
	if _, err := r.ReadFrame(); err == nil || err.Error() != text {
		t.Errorf("text is %q, want %q", err, text)
	}
}

func TestReadFrameLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 100, readBuffer, DefaultMaxFrame} {
		exact := frame(make([]byte, limit))
		body, err := NewReader(bytes.NewReader(exact), limit).ReadFrame()
		if err != nil || len(body) != limit {
			t.Errorf("limit %d: a body of that size gives %d bytes, %v", limit, len(body), err)
		}
		if err := CheckFrame(limit, limit); err != nil {
			t.Errorf("limit %d: CheckFrame: %v", limit, err)
		}

		// The header alone must do: reading on would fail otherwise.
		header := binary.BigEndian.AppendUint32(nil, uint32(limit)+1)
		r := NewReader(io.MultiReader(bytes.NewReader(header), iotest.ErrReader(errors.New("read on"))), limit)
		for range 2 {
			_, err = r.ReadFrame()
			var large *FrameTooLargeError
			if !errors.As(err, &large) || large.Size != uint64(limit)+1 || large.Limit != limit {
				t.Errorf("limit %d: one more gives %v", limit, err)
			}
		}
		if err := CheckFrame(limit+1, limit); err == nil || err.Error() != large(limit) {
			t.Errorf("limit %d: CheckFrame of one more: %v", limit, err)
		}
	}
	if err := CheckFrame(DefaultMaxFrame, 0); err != nil {
		t.Errorf("limit 0 is not the default: %v", err)
	}
	if err := CheckFrame(DefaultMaxFrame+1, 0); err == nil {
		t.Error("limit 0 is not the default: one more is accepted")
	}
	r := NewReader(strings.NewReader("\xff\xff\xff\xff"), 0)
	if _, err := r.ReadFrame(); err == nil || !strings.Contains(err.Error(), "4294967295") {
		t.Errorf("largest header: %v", err)
	}
}

// Frames that are refused as too large can be passed over, in whatever pieces they come.
func TestSkip(t *testing.T) {
	t.Parallel()
	const limit = 100
	long := bytes.Repeat([]byte("x"), 3*readBuffer)
	stream := slices.Concat(frame(long), frame([]byte("a")), frame(long[:limit+1]), frame(long[:limit]), frame(long), frame(nil))
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader,
		"halves": iotest.HalfReader, "with the end": iotest.DataErrReader,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := NewReader(wrap(bytes.NewReader(stream)), limit)
			var got []string
			for {
				body, err := r.ReadFrame()
				var large *FrameTooLargeError
				if errors.As(err, &large) {
					got = append(got, fmt.Sprint(large.Size))
					err = r.Skip()
				} else if err == nil {
					got = append(got, string(body))
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			want := []string{fmt.Sprint(len(long)), "a", fmt.Sprint(limit + 1), string(long[:limit]), fmt.Sprint(len(long)), ""}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if len(r.buf) != readBuffer {
				t.Errorf("the buffer has %d bytes", len(r.buf))
			}
		})
	}

	r := NewReader(bytes.NewReader(frame(long)[:HeaderSize+200]), limit)
	_, _ = r.ReadFrame()
	var truncated *TruncatedError
	if err := r.Skip(); !errors.As(err, &truncated) || truncated.Got != 200 || truncated.Want != len(long) {
		t.Errorf("a frame that ends early: %v", err)
	}
	broken := errors.New("broken")
	r = NewReader(io.MultiReader(bytes.NewReader(frame(long)[:HeaderSize]), iotest.ErrReader(broken)), limit)
	_, _ = r.ReadFrame()
	if err := r.Skip(); err != broken {
		t.Errorf("a stream that breaks: %v", err)
	}
}

func large(limit int) string {
	return (&FrameTooLargeError{Size: uint64(limit) + 1, Limit: limit}).Error()
}

func TestReadFrameErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	t.Run("error with the last bytes", func(t *testing.T) {
		t.Parallel()
		r := NewReader(&script{{"\x00\x00\x00\x02hi", broken}}, 0)
		if body, err := r.ReadFrame(); string(body) != "hi" || err != nil {
			t.Fatalf("got %q, %v", body, err)
		}
		if _, err := r.ReadFrame(); err != broken {
			t.Fatalf("got %v, want the reader's error", err)
		}
	})
	t.Run("retry", func(t *testing.T) {
		t.Parallel()
		r := NewReader(&script{{"\x00\x00\x00\x02h", nil}, {"", broken}, {"i", nil}}, 0)
		if _, err := r.ReadFrame(); err != broken {
			t.Fatalf("got %v, want the reader's error", err)
		}
		if body, err := r.ReadFrame(); string(body) != "hi" || err != nil {
			t.Fatalf("after the error: %q, %v", body, err)
		}
	})
	t.Run("no progress", func(t *testing.T) {
		t.Parallel()
		r := NewReader(&script{{"\x00\x00", nil}}, 0)
		if _, err := r.ReadFrame(); err != io.ErrNoProgress {
			t.Fatalf("got %v, want io.ErrNoProgress", err)
		}
	})
	t.Run("impossible count", func(t *testing.T) {
		t.Parallel()
		for _, n := range []int{-1, readBuffer + 1} {
			r := NewReader(readerFunc(func([]byte) (int, error) { return n, nil }), 0)
			if _, err := r.ReadFrame(); err == nil {
				t.Errorf("count %d: accepted", n)
			}
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A header is only a claim: what it costs must follow what arrives.
func TestReadFrameAllocation(t *testing.T) {
	// Not parallel: it measures what the whole process allocates.
	stream := append(appendFrameHeader(nil, DefaultMaxFrame), "0123456789"...)
	if n := allocated(func() {
		r := NewReader(bytes.NewReader(stream), 0)
		if _, err := r.ReadFrame(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
	}); n > 2*readBuffer {
		t.Errorf("a claim of %d bytes allocated %d", DefaultMaxFrame, n)
	}

	arrives := 1 << 20
	stream = append(appendFrameHeader(nil, DefaultMaxFrame), make([]byte, arrives)...)
	r := NewReader(bytes.NewReader(stream), 0)
	if _, err := r.ReadFrame(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if limit := 2*(arrives+HeaderSize) + readBuffer; len(r.buf) > limit {
		t.Errorf("%d bytes arrived, the buffer has %d", arrives, len(r.buf))
	}

	exact := append(frame(make([]byte, DefaultMaxFrame)), frame([]byte("next"))...)
	r = NewReader(bytes.NewReader(exact), 0)
	for range 2 {
		if _, err := r.ReadFrame(); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.buf) > DefaultMaxFrame+HeaderSize {
		t.Errorf("the buffer kept has %d bytes", len(r.buf))
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// repeat is an endless stream of the same bytes.
type repeat struct {
	data []byte
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	n := copy(p, r.data[r.at:])
	r.at = (r.at + n) % len(r.data)
	return n, nil
}

func TestReadFrameSteadyState(t *testing.T) {
	r := NewReader(&repeat{data: frame(make([]byte, 100_000))}, 0)
	read := func() {
		if _, err := r.ReadFrame(); err != nil {
			t.Fatal(err)
		}
	}
	read()
	if n := testing.AllocsPerRun(100, read); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
}

func BenchmarkReadFrame(b *testing.B) {
	for _, bench := range []struct {
		name string
		size int
	}{{"100B", 100}, {"64KiB", 64 << 10}, {"8MiB", 8 << 20}} {
		b.Run(bench.name, func(b *testing.B) {
			r := NewReader(&repeat{data: frame(make([]byte, bench.size))}, 0)
			b.SetBytes(int64(HeaderSize + bench.size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.ReadFrame(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{}, 0)
	f.Add([]byte("\x00\x00\x00\x00"), 10)
	f.Add([]byte("\x00\x00\x00\x02hi\x00\x00"), 2)
	f.Add([]byte("\x00\x00\x00\x02hi\x00\x00\x00\x09body"), 100)
	f.Add([]byte("\xff\xff\xff\xff"), 1<<30)
	f.Fuzz(func(t *testing.T, stream []byte, limit int) {
		want, wantErr := readAll(stream, func(r io.Reader) io.Reader { return r }, limit)
		for _, wrap := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
			got, err := readAll(stream, wrap, limit)
			if !bytes.Equal(got, want) {
				t.Errorf("the frames depend on how the stream arrives: %x, %x", want, got)
			}
			if err.Error() != wantErr.Error() {
				t.Errorf("the error depends on how the stream arrives: %v, %v", wantErr, err)
			}
		}
		if !bytes.HasPrefix(stream, want) {
			t.Errorf("the frames are not what was sent: %x", want)
		}
		rest := stream[len(want):]
		var truncated *TruncatedError
		var large *FrameTooLargeError
		switch {
		case wantErr == io.EOF:
			if len(rest) != 0 {
				t.Errorf("clean end with %d bytes left", len(rest))
			}
		case errors.As(wantErr, &truncated):
			got, want := len(rest), HeaderSize
			if len(rest) >= HeaderSize {
				got, want = len(rest)-HeaderSize, int(binary.BigEndian.Uint32(rest))
			}
			if truncated.Got != got || truncated.Want != want || truncated.Header != (len(rest) < HeaderSize) {
				t.Errorf("%v, but %d of %d bytes arrived", wantErr, got, want)
			}
		case errors.As(wantErr, &large):
			if len(rest) < HeaderSize || large.Size <= uint64(large.Limit) {
				t.Error(wantErr)
			}
		default:
			t.Error(wantErr)
		}
	})
}

// readAll reads frames until an error, and returns them as a stream again.
func readAll(stream []byte, wrap func(io.Reader) io.Reader, limit int) ([]byte, error) {
	r := newReader(wrap(bytes.NewReader(stream)), limit, HeaderSize+1)
	var all []byte
	for {
		body, err := r.ReadFrame()
		if err != nil {
			return all, err
		}
		all = append(all, frame(body)...)
		if len(r.buf) > max(r.chunk, r.max+HeaderSize) || len(r.buf) > 2*len(stream)+r.chunk {
			return all, fmt.Errorf("the buffer has %d bytes", len(r.buf))
		}
	}
}
