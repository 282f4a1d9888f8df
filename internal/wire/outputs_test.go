package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// block returns the header of a zstd block.
func block(last bool, kind, size int) []byte {
	h := uint32(kind<<1 | size<<3)
	if last {
		h |= 1
	}
	return []byte{byte(h), byte(h >> 8), byte(h >> 16)}
}

// storedFrame returns a zstd frame with content in one stored block, and
// without its size in the header.
func storedFrame(content []byte) []byte {
	b := append([]byte("\x28\xb5\x2f\xfd\x00\x58"), block(true, 0, len(content))...)
	return append(b, content...)
}

// buffer returns a compressed outputs buffer made of these frames.
func buffer(frames ...[]byte) []byte {
	return append([]byte{compressed}, bytes.Join(frames, nil)...)
}

// zeros returns a zstd frame that decompresses to n times 128 KiB of zeros,
// after start.
func zeros(start []byte, n int) []byte {
	b := append([]byte("\x28\xb5\x2f\xfd\x00\x58"), block(false, 0, len(start))...)
	b = append(b, start...)
	for i := range n {
		b = append(b, block(i == n-1, 1, maxBlock)...)
		b = append(b, 0)
	}
	return b
}

func TestEncodeOutputsThreshold(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		payloads [][]byte
		want     byte
	}{
		{"none", nil, plain},
		{"1024 bytes", [][]byte{make([]byte, 1024)}, plain},
		{"1025 bytes", [][]byte{make([]byte, 1025)}, compressed},
		{"1024 bytes in two", [][]byte{make([]byte, 512), make([]byte, 512)}, plain},
		{"1025 bytes in two", [][]byte{make([]byte, 512), make([]byte, 513)}, compressed},
		{"many empty", make([][]byte, 1000), plain}, // lengths do not count
	} {
		b, err := EncodeOutputs(test.payloads)
		if err != nil || b[0] != test.want {
			t.Errorf("%s: starts with %d, want %d; %v", test.name, b[0], test.want, err)
		}
	}
}

func TestOutputsRoundTrip(t *testing.T) {
	t.Parallel()
	random := make([]byte, 5<<20)
	rand.NewChaCha8([32]byte{}).Read(random)
	text := []byte(strings.Repeat("some text that repeats itself, ", 300_000))
	for name, want := range map[string][][]byte{
		"none":                {},
		"small":               payloads(t, "01", "", "ff"),
		"zeros":               {make([]byte, 2000)},
		"one block":           {text[:100_000]},
		"exactly a block":     {random[:maxBlock-2*lengthSize]},
		"a block and a byte":  {random[:maxBlock-2*lengthSize+1]},
		"several blocks":      {text, {}, text[:10]},
		"random":              {random[:3000]},
		"random, many blocks": {random, random}, // the second is beyond the window
		"many":                make([][]byte, 2000),
	} {
		if name == "many" {
			for i := range want {
				want[i] = random[i : i+i%10]
			}
		}
		b, err := EncodeOutputs(want)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := DecodeOutputs(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.EqualFunc(want, got, bytes.Equal) {
			t.Errorf("%s: the payloads changed", name)
		}
		if b[0] == plain {
			continue
		}
		var h zstd.Header
		if err := h.Decode(b[1:]); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if h.HasFCS || h.SingleSegment || h.HasCheckSum || h.DictionaryID != 0 || h.WindowSize != writeWindow {
			t.Errorf("%s: frame header %+v", name, h)
		}
		if size, err := frameSize(b[1:]); size != len(b)-1 {
			t.Errorf("%s: the first frame has %d of %d bytes, %v", name, size, len(b)-1, err)
		}
	}
}

func TestDecodeOutputs(t *testing.T) {
	t.Parallel()
	var (
		want    = payloads(t, "01", "0203")
		content = sequence(want)
		frame   = storedFrame(content)
		skip    = []byte("\x5f\x2a\x4d\x18\x03\x00\x00\x00abc")
		sized   = append([]byte("\x28\xb5\x2f\xfd\x20"), byte(len(content)))
	)
	sized = append(append(sized, block(true, 0, len(content))...), content...)
	all, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	checked := all.EncodeAll(content, nil) // with a checksum
	badSum := bytes.Clone(checked)
	badSum[len(badSum)-1]++
	with := func(b []byte, at int, v byte) []byte {
		b = bytes.Clone(b)
		b[at] = v
		return b
	}
	for _, test := range []struct {
		name string
		raw  []byte
		ok   bool
	}{
		{"plain", append([]byte{plain}, content...), true},
		{"plain, trailing bytes", append(append([]byte{plain}, content...), 1, 2, 3), true},
		{"empty", nil, false},
		{"first byte alone", []byte{plain}, false},
		{"compressed first byte alone", []byte{compressed}, false},
		{"unknown first byte", append([]byte{2}, content...), false},
		{"largest count", []byte("\x00\xff\xff\xff\xff"), false},
		{"largest count, compressed", buffer(storedFrame([]byte("\xff\xff\xff\xff\x00\x00\x00\x00"))), false},

		{"compressed", buffer(frame), true},
		{"content size in the header", buffer(sized), true},
		{"content size one less", buffer(with(sized, 5, byte(len(content))-1)), false},
		{"content size one more", buffer(with(sized, 5, byte(len(content))+1)), false},
		{"checksum", buffer(checked), true},
		{"wrong checksum", buffer(badSum), false},
		{"checksum cut short", buffer(checked[:len(checked)-1]), false},
		{"content in two frames", buffer(storedFrame(content[:5]), storedFrame(content[5:])), true},
		{"an empty frame first", buffer(storedFrame(nil), frame), true},
		{"trailing bytes in the content", buffer(frame, storedFrame([]byte("more"))), true},
		{"skippable frame first", buffer(skip, frame), true},
		{"skippable frame last", buffer(frame, skip), true},
		{"skippable frame between", buffer(storedFrame(content[:5]), skip, storedFrame(content[5:])), true},
		{"skippable frame alone", buffer(skip), false},
		{"skippable frame cut short", buffer(frame, skip[:10]), false},
		{"skippable header cut short", buffer(frame, skip[:7]), false},
		{"skippable frame, largest size", buffer(frame, []byte("\x50\x2a\x4d\x18\xff\xff\xff\xff")), false},
		{"a zero after the frame", buffer(frame, []byte{0}), false},
		{"garbage after the frame", buffer(frame, []byte("garbage")), false},
		{"part of a magic after the frame", buffer(frame, []byte("\x28\xb5\x2f")), false},
		{"a magic after the frame", buffer(frame, []byte("\x28\xb5\x2f\xfd")), false},
		{"second frame cut short", buffer(frame, frame[:8]), false},
		{"not zstd", append([]byte{compressed}, content...), false},
		{"reserved block", buffer([]byte("\x28\xb5\x2f\xfd\x00\x58"), block(true, 3, 0)), false},
		{"unknown dictionary", buffer([]byte("\x28\xb5\x2f\xfd\x01\x58\x07"), block(true, 0, 0)), false},
		{"window over 128 MiB", buffer(with(frame, 5, 0x89)), false},
		{"window of 128 MiB", buffer(with(frame, 5, 0x88)), true},
	} {
		got, err := DecodeOutputs(test.raw)
		if !test.ok {
			if err == nil {
				t.Errorf("%s: accepted as %x", test.name, got)
			} else if !strings.HasPrefix(err.Error(), "task outputs: ") {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
	for cut := range frame {
		if _, err := DecodeOutputs(buffer(frame[:cut])); err == nil {
			t.Errorf("frame cut to %d bytes: accepted", cut)
		}
	}
	var se *SequenceError
	if _, err := DecodeOutputs([]byte("\x00\xff\xff\xff\xff")); !errors.As(err, &se) {
		t.Errorf("a bad sequence gives %v", err)
	}
}

// What decoding allocates is bounded, whatever the buffer claims.
func TestDecodeOutputsAllocation(t *testing.T) {
	// Not parallel: it measures what the whole process allocates.
	if _, err := DecodeOutputs(buffer(storedFrame(sequence(nil)))); err != nil { // sets the decoder up
		t.Fatal(err)
	}
	sizeClaim := []byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x0f\x00\x00\x00\x00") // 252 MiB
	windowClaim := []byte("\x28\xb5\x2f\xfd\x00\x88")                           // 128 MiB
	for name, frame := range map[string][]byte{
		"content size":                append(bytes.Clone(sizeClaim), "\x01\x00\x00"...),
		"content size, several":       bytes.Repeat(append(bytes.Clone(sizeClaim), "\x01\x00\x00"...), 100),
		"window":                      append(bytes.Clone(windowClaim), storedFrame([]byte("\xff\xff\xff\xff"))[6:]...),
		"count that zeros could meet": zeros(binary.LittleEndian.AppendUint32(nil, 1<<31), 1),
	} {
		n := allocated(func() {
			if _, err := DecodeOutputs(buffer(frame)); err == nil {
				t.Errorf("%s: accepted", name)
			}
		})
		if n > 4<<20 {
			t.Errorf("%s: %d bytes of input allocate %d", name, len(frame), n)
		}
	}
}

// The limit is tried on a smaller scale, with 2 MiB.
func TestDecodeOutputsTooLarge(t *testing.T) {
	t.Parallel()
	const (
		blocks = 16
		limit  = blocks * maxBlock
	)
	small := sync.OnceValue(func() *zstd.Decoder { return newDecoder(limit) })
	count := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	for _, test := range []struct {
		name string
		raw  []byte
		ok   bool
	}{
		{"one frame", buffer(zeros(nil, blocks)), true},
		{"one frame, a block more", buffer(zeros(nil, blocks+1)), false},
		{"one frame, 100 times", buffer(zeros(nil, 100*blocks)), false},
		{"two frames", buffer(zeros(nil, blocks/2), zeros(nil, blocks/2)), true},
		{"two frames, a block more", buffer(zeros(nil, blocks/2), zeros(nil, blocks/2+1)), false},
		{"two frames, each too large", buffer(zeros(nil, 2*blocks), zeros(nil, 2*blocks)), false},
		// Each payload takes 4 bytes of the content, and sliceSize for its slice.
		{"payloads", buffer(zeros(count(blocks/4*maxBlock/sliceSize), blocks/4)), true},
		{"too many payloads", buffer(zeros(count(blocks*maxBlock/sliceSize), blocks/4)), false},
		{"too many payloads, plain", append([]byte{plain}, append(count(blocks*maxBlock/sliceSize), make([]byte, blocks/4*maxBlock)...)...), false},
	} {
		_, err := decodeOutputs(test.raw, small, limit)
		if test.ok && err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if !test.ok && err != ErrTooLarge {
			t.Errorf("%s: %v, want ErrTooLarge", test.name, err)
		}
	}
	// It is not always the decompressed bytes alone that are too many.
	for _, says := range []string{"more than 256 MiB of memory", "decompressed", "24 bytes for each payload"} {
		if !strings.Contains(ErrTooLarge.Error(), says) {
			t.Errorf("%q does not say %q", ErrTooLarge, says)
		}
	}
}

func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The shared compressors may be used by many at once, and leave no goroutine.
func TestOutputsConcurrency(t *testing.T) {
	// Not parallel: it counts the goroutines of the whole process.
	before := runtime.NumGoroutine()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			want := [][]byte{bytes.Repeat([]byte{byte(i)}, 300_000), {byte(i)}}
			for range 20 {
				b, err := EncodeOutputs(want)
				if err != nil {
					t.Error(err)
					return
				}
				got, err := DecodeOutputs(b)
				if err != nil || !slices.EqualFunc(want, got, bytes.Equal) {
					t.Errorf("goroutine %d: the payloads changed, %v", i, err)
				}
				if _, err := DecodeOutputs(b[:len(b)-1]); err == nil {
					t.Error("cut short: accepted")
				}
			}
		})
	}
	wg.Wait()
	// A goroutine that is done may still be about to end.
	after := runtime.NumGoroutine()
	for deadline := time.Now().Add(10 * time.Second); after > before && time.Now().Before(deadline); after = runtime.NumGoroutine() {
		runtime.Gosched()
	}
	if after > before {
		stacks := make([]byte, 1<<16)
		t.Errorf("%d goroutines, %d before:\n%s", after, before, stacks[:runtime.Stack(stacks, true)])
	}
}

func BenchmarkEncodeOutputs(b *testing.B) { benchmarkOutputs(b, false) }
func BenchmarkDecodeOutputs(b *testing.B) { benchmarkOutputs(b, true) }

func benchmarkOutputs(b *testing.B, decode bool) {
	for _, bench := range []struct {
		name string
		size int
	}{{"plain", 1000}, {"64KiB", 64 << 10}, {"4MiB", 4 << 20}} {
		b.Run(bench.name, func(b *testing.B) {
			outputs := [][]byte{[]byte(strings.Repeat("some text that repeats itself, ", bench.size/31+1)[:bench.size])}
			raw, err := EncodeOutputs(outputs)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(bench.size))
			b.ReportAllocs()
			for b.Loop() {
				if decode {
					_, err = DecodeOutputs(raw)
				} else {
					_, err = EncodeOutputs(outputs)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzDecodeOutputs(f *testing.F) {
	content := sequence([][]byte{{1}, {2, 3}})
	f.Add([]byte{})
	f.Add(append([]byte{plain}, content...))
	f.Add([]byte("\x00\xff\xff\xff\xff"))
	f.Add(buffer(storedFrame(content)))
	f.Add(buffer([]byte("\x50\x2a\x4d\x18\x01\x00\x00\x00x"), storedFrame(content[:5]), storedFrame(content[5:])))
	f.Add(buffer(zeros(content, 2)))
	f.Add([]byte("\x01\x28\xb5\x2f\xfd\x00\x58\x85\x00\x00\x48\x01\x00\x00\x00\xd0\x07\x00\x00\x07\x01\x00\xcc\xff\xe0\x08"))
	for _, size := range []int{1025, 100_000} {
		raw, err := EncodeOutputs([][]byte{[]byte(strings.Repeat("text that repeats, ", size/19+1)[:size]), {1}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := DecodeOutputs(raw)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "task outputs: ") {
				t.Errorf("poor error: %v", err)
			}
			return
		}
		sum := 0
		for _, p := range got {
			sum += len(p)
		}
		if sum+sliceSize*len(got) > MaxOutputs {
			t.Errorf("%d payloads with %d bytes", len(got), sum)
		}
		if sum > 1<<20 || len(got) > 1<<16 {
			return // as good, but slow
		}
		raw, err = EncodeOutputs(got)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeOutputs(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.EqualFunc(got, again, bytes.Equal) {
			t.Error("the payloads changed on the way through EncodeOutputs")
		}
	})
}
