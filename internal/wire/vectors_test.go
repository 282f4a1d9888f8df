package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// vector is one entry of testdata/vectors.json: bytes the Rust implementation
// wrote.
type vector struct {
	Name string `json:"name"`
	Hex  string `json:"hex"`

	data []byte
}

// vectors returns the entries whose name starts with one of the prefixes.
func vectors(t *testing.T, prefixes ...string) []vector {
	t.Helper()
	text, err := os.ReadFile("../../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var all, found []vector
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range prefixes {
		before := len(found)
		for _, v := range all {
			if !strings.HasPrefix(v.Name, prefix) {
				continue
			}
			if v.data, err = hex.DecodeString(v.Hex); err != nil {
				t.Fatalf("%s: %v", v.Name, err)
			}
			found = append(found, v)
		}
		if len(found) == before {
			t.Fatalf("no vector is called %s...", prefix)
		}
	}
	return found
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// payloads returns the payloads with these bytes in hex.
func payloads(t testing.TB, hex ...string) [][]byte {
	all := [][]byte{}
	for _, h := range hex {
		all = append(all, unhex(t, h))
	}
	return all
}

// sequence builds the sequence of these payloads.
func sequence(payloads [][]byte) []byte {
	b := AppendHeader(nil, len(payloads))
	for _, p := range payloads {
		b = AppendPayload(b, p)
	}
	return b
}

func TestSequenceVectors(t *testing.T) {
	t.Parallel()
	contents := map[string][][]byte{
		"inputs/none":              payloads(t),
		"inputs/[10u64]":           payloads(t, "0a"),
		"outputs/unit_return":      payloads(t),
		"outputs/one_value_u64_55": payloads(t, "37"),
		"outputs/one_value_vec_string": payloads(t,
			"92 a161 a162"),
		"outputs/one_value_struct": payloads(t,
			"92 cb3ff0000000000000 cbc004000000000000"),
	}
	for _, v := range vectors(t, "inputs/", "outputs/") {
		want, ok := contents[v.Name]
		if !ok {
			t.Errorf("%s: no test handles it", v.Name)
			continue
		}
		delete(contents, v.Name)
		if got := sequence(want); !bytes.Equal(got, v.data) {
			t.Errorf("%s: encoding\n got %x\nwant %x", v.Name, got, v.data)
		}
		got, err := Split([][]byte{}, v.data)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: decoding (-want +got):\n%s", v.Name, diff)
		}
	}
	for name := range contents {
		t.Errorf("%s: the vector is gone", name)
	}
}

func TestOutputsVectors(t *testing.T) {
	t.Parallel()
	contents := map[string][][]byte{
		"task_outputs_raw/wire[1i64,-1,300]": payloads(t, "01", "ff", "cd012c"),
		"task_outputs_raw/zstd[2000 x 07]":   {bytes.Repeat([]byte{7}, 2000)},
	}
	for _, v := range vectors(t, "task_outputs_raw/") {
		want, ok := contents[v.Name]
		if !ok {
			t.Errorf("%s: no test handles it", v.Name)
			continue
		}
		delete(contents, v.Name)
		got, err := DecodeOutputs(v.data)
		if err != nil {
			t.Errorf("%s: %v", v.Name, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: decoding (-want +got):\n%s", v.Name, diff)
		}
		encoded, err := EncodeOutputs(want)
		switch {
		case err != nil:
			t.Errorf("%s: %v", v.Name, err)
		case encoded[0] != v.data[0]:
			t.Errorf("%s: first byte %d, want %d", v.Name, encoded[0], v.data[0])
		case encoded[0] == plain && !bytes.Equal(encoded, v.data):
			t.Errorf("%s: encoding\n got %x\nwant %x", v.Name, encoded, v.data)
		case encoded[0] == compressed && !bytes.Equal(encoded[:7], v.data[:7]):
			// Two compressors differ in the blocks, not in the header.
			t.Errorf("%s: frame header\n got %x\nwant %x", v.Name, encoded[:7], v.data[:7])
		}
	}
	for name := range contents {
		t.Errorf("%s: the vector is gone", name)
	}
}
