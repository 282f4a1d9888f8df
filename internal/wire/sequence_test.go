package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRejects(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		hex  string
		want SequenceError
		text string
	}{
		{
			"", SequenceError{Payload: -1},
			"payload count: needs 4 bytes at offset 0 (0 bytes left)",
		},
		{
			"000000", SequenceError{Payload: -1, Have: 3},
			"payload count: needs 4 bytes at offset 0 (3 bytes left)",
		},
		{
			"01000000", SequenceError{Payload: -1, Count: 1, Want: 1},
			"payload count: 1 at offset 0 is more than can follow (0 bytes left)",
		},
		{
			"ffffffff 00000000 00000000", SequenceError{Payload: -1, Count: math.MaxUint32, Want: math.MaxUint32, Have: 8},
			"payload count: 4294967295 at offset 0 is more than can follow (8 bytes left)",
		},
		{
			"03000000 01000000ff 00000000 000000",
			SequenceError{Payload: -1, Count: 3, Want: 3, Have: 12}, "",
		},
		{
			"03000000 01000000ff 84030000 0102030405060708090a0b0c",
			SequenceError{Payload: 1, Count: 3, Offset: 9, Want: 900, Have: 12},
			"payload 2 of 3: length 900 at offset 9 goes past the end (12 bytes left)",
		},
		{
			"01000000 ffffffff 00",
			SequenceError{Payload: 0, Count: 1, Offset: 4, Want: math.MaxUint32, Have: 1},
			"payload 1 of 1: length 4294967295 at offset 4 goes past the end (1 bytes left)",
		},
		{
			"02000000 03000000ffffff 0000",
			SequenceError{Payload: 1, Count: 2, Offset: 11, Have: 2},
			"payload 2 of 2: needs a length of 4 bytes at offset 11 (2 bytes left)",
		},
	} {
		b := unhex(t, test.hex)
		if test.text == "" { // the count is just possible
			b = b[:len(b)-1]
			test.want.Have--
		}
		_, err := Parse(b)
		if diff := cmp.Diff(error(&test.want), err); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.hex, diff)
			continue
		}
		if test.text != "" && err.Error() != test.text {
			t.Errorf("%s: %q, want %q", test.hex, err, test.text)
		}
		before := [][]byte{{1}}
		if got, err := Split(before, b); err == nil || len(got) != 1 {
			t.Errorf("%s: Split gives %v, %v", test.hex, got, err)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, want := range [][][]byte{
		payloads(t),
		payloads(t, ""),
		payloads(t, "", "", ""),
		payloads(t, "01", "", "020304"),
		{bytes.Repeat([]byte{7}, 3000), {}},
	} {
		for _, trailing := range []string{"", "\xff", "\xff\xff\xff\xff\xff"} {
			b := append(sequence(want), trailing...)
			s, err := Parse(b)
			if err != nil {
				t.Errorf("%.40x: %v", b, err)
				continue
			}
			if s.Len() != len(want) {
				t.Errorf("%.40x: Len is %d, want %d", b, s.Len(), len(want))
			}
			all := [][]byte{}
			for i, p := range s.All() {
				if i != len(all) {
					t.Errorf("%.40x: index %d, want %d", b, i, len(all))
				}
				all = append(all, p)
			}
			if diff := cmp.Diff(want, all); diff != "" {
				t.Errorf("All (-want +got):\n%s", diff)
			}
			next := [][]byte{}
			for p, ok := s.Next(); ok; p, ok = s.Next() {
				next = append(next, p)
				if cap(p) != len(p) {
					t.Errorf("%.40x: appending to a payload would overwrite the next", b)
				}
			}
			if diff := cmp.Diff(want, next); diff != "" {
				t.Errorf("Next (-want +got):\n%s", diff)
			}
			if p, ok := s.Next(); ok {
				t.Errorf("%.40x: Next after the last gives %x", b, p)
			}
			if s.Len() != len(want) {
				t.Errorf("%.40x: Len changed to %d", b, s.Len())
			}
			split, err := Split(payloads(t, "aa"), b)
			if err != nil {
				t.Errorf("%.40x: %v", b, err)
			}
			if diff := cmp.Diff(append(payloads(t, "aa"), want...), split); diff != "" {
				t.Errorf("Split (-want +got):\n%s", diff)
			}
		}
	}
}

func TestAllStartsWhereNextStopped(t *testing.T) {
	t.Parallel()
	s, err := Parse(sequence(payloads(t, "01", "02", "03")))
	if err != nil {
		t.Fatal(err)
	}
	s.Next()
	got := ""
	for i, p := range s.All() {
		got += fmt.Sprintf("%d:%x ", i, p)
		if i == 1 {
			break
		}
	}
	if got != "1:02 " {
		t.Errorf("got %q", got)
	}
	if p, _ := s.Next(); !bytes.Equal(p, []byte{2}) {
		t.Errorf("All advanced the sequence: Next gives %x", p)
	}
	for range (Sequence{}).All() {
		t.Error("the zero sequence has a payload")
	}
}

func TestBeginPayload(t *testing.T) {
	t.Parallel()
	want := payloads(t, "0102", "", "ff")
	b := AppendHeader([]byte("before"), len(want))
	for _, p := range want {
		var mark int
		b, mark = BeginPayload(b)
		b = append(b, p...)
		var err error
		if b, err = EndPayload(b, mark); err != nil {
			t.Fatal(err)
		}
	}
	if got := append([]byte("before"), sequence(want)...); !bytes.Equal(b, got) {
		t.Errorf("got %x, want %x", b, got)
	}
}

func TestHeaderBounds(t *testing.T) {
	t.Parallel()
	for _, count := range []int{-1, math.MaxUint32 + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a header of %d payloads was written", count)
				}
			}()
			AppendHeader(nil, count)
		}()
	}
	if got := AppendHeader(nil, math.MaxUint32); !bytes.Equal(got, unhex(t, "ffffffff")) {
		t.Errorf("got %x", got)
	}
	const text = "payload of 4294967296 bytes is over the limit of 4294967295 bytes"
	if err := (&SizeError{Size: 1 << 32}); err.Error() != text {
		t.Errorf("got %q, want %q", err, text)
	}
}

func TestSequenceAllocations(t *testing.T) {
	b := sequence(payloads(t, "01", "", "020304"))
	dst := make([][]byte, 0, 3)
	buf := make([]byte, 0, 100)
	for name, f := range map[string]func(){
		"Parse and Next": func() {
			s, err := Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			for _, ok := s.Next(); ok; _, ok = s.Next() {
			}
		},
		"Parse and All": func() {
			s, err := Parse(b)
			if err != nil {
				t.Fatal(err)
			}
			for range s.All() {
			}
		},
		"Split": func() {
			var err error
			if dst, err = Split(dst[:0], b); err != nil {
				t.Fatal(err)
			}
		},
		"append": func() {
			buf = AppendPayload(AppendHeader(buf[:0], 2), b)
			var mark int
			buf, mark = BeginPayload(buf)
			buf = append(buf, b...)
			buf, _ = EndPayload(buf, mark)
		},
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, count := range []int{1, 1000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			all := make([][]byte, count)
			for i := range all {
				all[i] = make([]byte, 9)
			}
			data := sequence(all)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				s, err := Parse(data)
				if err != nil {
					b.Fatal(err)
				}
				for _, ok := s.Next(); ok; _, ok = s.Next() {
				}
			}
		})
	}
}

func FuzzParseSequence(f *testing.F) {
	f.Add([]byte{})
	f.Add(sequence(nil))
	f.Add(sequence([][]byte{{1}, {}, {2, 3, 4}}))
	f.Add([]byte("\xff\xff\xff\xff\x00\x00\x00\x00"))
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		split, splitErr := Split(nil, b)
		if err != nil {
			var e *SequenceError
			if !errors.As(err, &e) || e.Offset < 0 || e.Offset > len(b) || e.Have > len(b) || e.Error() == "" {
				t.Errorf("poor error: %#v", err)
			}
			if splitErr == nil || splitErr.Error() != err.Error() {
				t.Errorf("Parse: %v, Split: %v", err, splitErr)
			}
			return
		}
		if splitErr != nil || len(split) != s.Len() {
			t.Fatalf("Split: %d payloads, %v; Parse: %d", len(split), splitErr, s.Len())
		}
		for i, p := range s.All() {
			if !bytes.Equal(p, split[i]) {
				t.Errorf("payload %d: %x, %x", i, p, split[i])
			}
		}
		// What was accepted is the start of b, byte for byte.
		if again := sequence(split); !bytes.HasPrefix(b, again) {
			t.Errorf("%x is accepted as %x", b, again)
		}
	})
}
