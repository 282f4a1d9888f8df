package loader

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	begin := whole[:4096]
	changed := func(change func(b []byte)) []byte {
		b := append([]byte(nil), begin...)
		change(b)
		return b
	}
	for _, c := range []struct {
		name string
		file []byte
		want string // in the error; "": none
	}{
		{"whole", whole, ""},
		{"half", whole[:len(whole)/2], "a segment needs"},
		{"header only", whole[:headerSize], "end before the program headers"},
		{"part of the header", whole[:headerSize-1], ""}, // the linker says so
		{"empty", nil, ""},
		{"text", []byte(strings.Repeat("no library\n", 100)), ""},
		{"32 bits", changed(func(b []byte) { b[4] = 1 }), ""},
		{"headers far away", changed(func(b []byte) { binary.LittleEndian.PutUint64(b[headerPhoff:], math.MaxUint64-5) }), "end before the program headers"},
		{"no headers", changed(func(b []byte) { binary.LittleEndian.PutUint16(b[headerPhnum:], 0) }), ""},
		{"headers of size 0", changed(func(b []byte) { binary.LittleEndian.PutUint16(b[headerPhsize:], 0) }), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, c.file, 0o600); err != nil {
				t.Fatal(err)
			}
			err := complete(path, uint64(len(c.file)))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}
