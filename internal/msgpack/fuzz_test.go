package msgpack

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// seeds are the values of testdata/rmp_serde.txt.
func seeds(f *testing.F) (rows [][]byte) {
	file, err := os.Open("testdata/rmp_serde.txt")
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	for in := bufio.NewScanner(file); in.Scan(); {
		if part := strings.Fields(in.Text()); part[0] != "#" {
			b, _ := hex.DecodeString(part[1])
			rows = append(rows, b)
		}
	}
	return rows
}

// FuzzDecodeTyped decodes the input as every type of the zoo. What is accepted
// must be one value for Skip too, and encode to a fixed point.
func FuzzDecodeTyped(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	types := []reflect.Type{
		reflect.TypeFor[any](), reflect.TypeFor[[]any](), reflect.TypeFor[map[any]any](),
		reflect.TypeFor[vecContext](), reflect.TypeFor[vecExecutorError](), reflect.TypeFor[embedAll](),
	}
	for _, t := range zoo {
		if !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, typ := range types {
			v := reflect.New(typ).Elem()
			rest, err := DecodeValue(b, v)
			if err != nil {
				_ = err.Error()
				continue
			}
			if !bytes.HasSuffix(b, rest) || len(rest) == len(b) {
				t.Fatalf("%v: %x left %x", typ, b, rest)
			}
			if skipped, err := Skip(b); err != nil || len(skipped) != len(rest) {
				t.Fatalf("%v: %x: Skip left %d, %v; decoding %d", typ, b, len(skipped), err, len(rest))
			}
			once, err := AppendValue(nil, v)
			if err != nil {
				t.Fatalf("%v: %x: %v", typ, b, err)
			}
			again := reflect.New(typ).Elem()
			if rest, err := DecodeValue(once, again); err != nil || len(rest) != 0 {
				t.Fatalf("%v: %x, encoded as %x: %v", typ, b, once, err)
			}
			if twice, err := AppendValue(nil, again); err != nil || !bytes.Equal(once, twice) {
				t.Fatalf("%v: %x, encoded as %x, then %x, %v", typ, b, once, twice, err)
			}
		}
	})
}

// FuzzSkip compares Skip with the readers that look at everything.
func FuzzSkip(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rest, err := Skip(b)
		if err == nil {
			if !bytes.HasSuffix(b, rest) || len(rest) == len(b) {
				t.Fatalf("%x left %x", b, rest)
			}
			value := b[:len(b)-len(rest)]
			if again, err := Skip(value); err != nil || len(again) != 0 {
				t.Fatalf("%x alone: %x, %v", value, again, err)
			}
			for n := range min(len(value), 1000) { // quadratic
				if _, err := Skip(value[:n]); err == nil {
					t.Fatalf("%x was accepted, a part of %x", value[:n], value)
				}
			}
		}
		_, after, jsonErr := AppendJSON(nil, b)
		if jsonErr == nil && (err != nil || len(after) != len(rest)) {
			t.Fatalf("%x: Skip left %d, %v; AppendJSON %d", b, len(rest), err, len(after))
		}
	})
}

// FuzzAppendJSON checks that the text is JSON, and one that FromJSON reads and
// AppendJSON gives again.
func FuzzAppendJSON(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text, _, err := AppendJSON(nil, b)
		if err != nil {
			return
		}
		if !json.Valid(text) {
			t.Fatalf("%x: %s is not JSON", b, text)
		}
		value, err := FromJSON(nil, text)
		if err != nil {
			if strings.Contains(err.Error(), "nested") { // ext adds levels of its own
				return
			}
			t.Fatalf("%x: %s: %v", b, text, err)
		}
		again, rest, err := AppendJSON(nil, value)
		if err != nil || len(rest) != 0 {
			t.Fatalf("%s: %x: %v", text, value, err)
		}
		if !bytes.Equal(text, again) && !floats32(b) {
			t.Fatalf("%x: %s, then %s", b, text, again)
		}
	})
}

// floats32 tells whether b may have an f32 in it, whose text comes back as an
// f64 and may be longer or shorter then.
func floats32(b []byte) bool { return bytes.IndexByte(b, markFloat32) >= 0 }

// FuzzFromJSON checks against encoding/json, and that msgpack keeps everything.
func FuzzFromJSON(f *testing.F) {
	for _, s := range []string{
		`null`, ` [1,-2,3.5e-7,true] `, `{"a":{"b":[]},"a":""}`, `"\ud83d\ude00\u00e9\n"`, `18446744073709551615`, `-0.0`, `1e21`,
		`NaN`, `[Infinity,-Infinity]`, `"\ud800"`, `[1,]`, `01`, `{"1":2,"x":[[[]]]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		value, err := FromJSON(nil, text)
		words := bytes.Contains(text, []byte(wordNaN)) || bytes.Contains(text, []byte(wordInf))
		if err != nil {
			if json.Valid(text) {
				reason := err.Error()
				for _, ours := range []string{"does not fit", "UTF-8", "surrogate", "nested"} {
					if strings.Contains(reason, ours) {
						return
					}
				}
				t.Fatalf("%q is JSON: %v", text, err)
			}
			return
		}
		if !json.Valid(text) && !words {
			t.Fatalf("%q is not JSON", text)
		}
		if rest, err := Skip(value); err != nil || len(rest) != 0 {
			t.Fatalf("%q: %x: %v, %d left", text, value, err, len(rest))
		}
		back, rest, err := AppendJSON(nil, value)
		if err != nil || len(rest) != 0 {
			t.Fatalf("%q: %x: %v", text, value, err)
		}
		again, err := FromJSON(nil, back)
		if err != nil {
			t.Fatalf("%q: %x: %s: %v", text, value, back, err)
		}
		if !bytes.Equal(value, again) && !words {
			t.Fatalf("%q: %x, as %s %x", text, value, back, again)
		}
	})
}
