package inspect

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spider-go/spider/internal/tasktest"
)

func built(t testing.TB) tasktest.Built {
	t.Helper()
	b, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func library(t testing.TB, name string) string {
	t.Helper()
	return filepath.Join(built(t).Packages, name, "lib"+name+".so")
}

func TestRead(t *testing.T) {
	t.Parallel()
	b := built(t)
	for path, want := range map[string]struct {
		form     Form
		language string
		compiler string
		spider   bool
		exports  string // the short names of those present
	}{
		library(t, "gobehave"):                              {Library, "Go", runtime.Version(), true, "get_version get_name execute init describe"},
		library(t, "misbehave"):                             {Library, "C", "", false, "get_version get_name execute"},
		library(t, "no_name"):                               {Library, "C", "", false, "get_version execute"},
		filepath.Join(b.SelfHosted, "gobehave", "gobehave"): {Program, "Go", runtime.Version(), true, ""},
		b.Executor: {Program, "Go", runtime.Version(), true, ""},
	} {
		f, err := Read(path)
		if err != nil {
			t.Error(err)
			continue
		}
		var present []string
		for _, x := range f.Exports {
			if x.Present {
				present = append(present, strings.TrimPrefix(x.Symbol, "__spider_tdl_package_"))
			}
		}
		if f.Form != want.form || f.Build.Language != want.language || f.Build.Spider != want.spider ||
			f.Machine != runtime.GOARCH || f.Foreign || f.Damage != "" || want.form == Library && strings.Join(present, " ") != want.exports ||
			want.compiler != "" && f.Build.Compiler != want.compiler || f.Build.Compiler == "" {
			t.Errorf("%s: %+v, exports %q; want %+v", path, f, present, want)
		}
	}
	// The C library has an interpreter and is a library all the same.
	f, err := Read(library(t, "misbehave"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range f.Needs {
		if n.Path == "" {
			t.Errorf("%+v was not found", n)
		}
		if n.Name == "libc.so.6" {
			if libc, err := Read(n.Path); err != nil || libc.Damage != "" {
				t.Errorf("%+v, %v", libc, err)
			}
		}
	}
	if _, err := Read(t.TempDir()); err == nil {
		t.Error("a directory is read")
	}
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	f, err := Read(library(t, "needs_missing_library"))
	if err != nil {
		t.Fatal(err)
	}
	want := Need{Name: "libabsent_dependency.so"}
	found := slices.IndexFunc(f.Needs, func(n Need) bool { return n.Name == want.Name && n.Path == "" && n.By == "" })
	if found < 0 {
		t.Errorf("%+v", f.Needs)
	}
}

// A chain of libraries: the first names its folder relative to itself, the second is
// missing one, and asks for one in a folder that it does not name.
func TestNeedsOfNeeds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.c")
	if err := os.WriteFile(empty, []byte("int spider_nothing;\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cc := func(out string, args ...string) {
		t.Helper()
		args = append([]string{"-shared", "-fPIC", "-Wl,--no-as-needed", "-o", filepath.Join(dir, out), empty, "-L" + filepath.Join(dir, "deep")}, args...)
		if text, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	cc("deep/libspider_gone.so", "-Wl,-soname,libspider_gone.so")
	cc("deep/libspider_deep.so", "-Wl,-soname,libspider_deep.so", "-lspider_gone")
	cc("libtop.so", "-lspider_deep", "-Wl,-rpath,$ORIGIN/deep", "-Wl,-rpath-link,"+filepath.Join(dir, "deep"))
	if err := os.Remove(filepath.Join(dir, "deep/libspider_gone.so")); err != nil {
		t.Fatal(err)
	}
	f, err := Read(filepath.Join(dir, "libtop.so"))
	if err != nil {
		t.Fatal(err)
	}
	deep := slices.IndexFunc(f.Needs, func(n Need) bool { return n.Name == "libspider_deep.so" })
	gone := slices.IndexFunc(f.Needs, func(n Need) bool { return n.Name == "libspider_gone.so" })
	if deep < 0 || f.Needs[deep].Path != filepath.Join(dir, "deep/libspider_deep.so") || gone < 0 || f.Needs[gone].Path != "" || f.Needs[gone].By != "libspider_deep.so" {
		t.Errorf("%+v", f.Needs)
	}
}

// The linker's cache of this machine has the C library, where it is.
func TestLinkerCache(t *testing.T) {
	t.Parallel()
	cache := linkerCache()
	if len(cache) == 0 {
		t.Skip("there is no /etc/ld.so.cache that could be read")
	}
	for name, path := range cache {
		if name == "" || !filepath.IsAbs(path) {
			t.Errorf("%q: %q", name, path)
		}
	}
	if path := cache["libc.so.6"]; !isFile(path) {
		t.Errorf("libc.so.6 at %q", path)
	}
}

func FuzzLinkerCache(f *testing.F) {
	if b, err := os.ReadFile("/etc/ld.so.cache"); err == nil {
		f.Add(b[:min(len(b), 4096)])
	}
	f.Add([]byte("glibc-ld.so.cache1.1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for name := range parseCache(b) {
			if name == "" {
				t.Error("an empty name")
			}
		}
	})
}

// whole is a small library.
func whole(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(library(t, "no_execute"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Cut anywhere, a library is damaged or whole, and never a panic.
func TestTruncated(t *testing.T) {
	t.Parallel()
	b := whole(t)
	for n := 0; n < len(b); n += 1 + n/50 {
		if f := read(bytes.NewReader(b[:n]), int64(n)); f.Form == Library && f.Damage == "" && f.Exports != nil {
			t.Errorf("%d of %d bytes: %+v", n, len(b), f)
		}
	}
	if f := read(bytes.NewReader(b), int64(len(b))); f.Form != Library || f.Damage != "" {
		t.Errorf("whole: %+v", f)
	}
}

func TestDamaged(t *testing.T) {
	t.Parallel()
	good := whole(t)
	header := func(change func(*elf.Header64)) []byte {
		b := bytes.Clone(good)
		var h elf.Header64
		if _, err := binary.Decode(b, binary.LittleEndian, &h); err != nil {
			t.Fatal(err)
		}
		change(&h)
		if _, err := binary.Encode(b, binary.LittleEndian, &h); err != nil {
			t.Fatal(err)
		}
		return b
	}
	section := func(kind elf.SectionType, change func(*elf.Section64)) []byte {
		b := bytes.Clone(good)
		var h elf.Header64
		if _, err := binary.Decode(b, binary.LittleEndian, &h); err != nil {
			t.Fatal(err)
		}
		for i := range uint64(h.Shnum) {
			at := b[h.Shoff+i*uint64(h.Shentsize):]
			var s elf.Section64
			if _, err := binary.Decode(at, binary.LittleEndian, &s); err != nil {
				t.Fatal(err)
			}
			if elf.SectionType(s.Type) == kind {
				change(&s)
				if _, err := binary.Encode(at, binary.LittleEndian, &s); err != nil {
					t.Fatal(err)
				}
			}
		}
		return b
	}
	for name, c := range map[string]struct {
		b    []byte
		says string
	}{
		"empty":              {nil, "empty"},
		"text":               {[]byte("hello"), "not an ELF file"},
		"magic alone":        {[]byte(elf.ELFMAG), "ends in its header"},
		"32 bits":            {header(func(h *elf.Header64) { h.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS32) }), "not a 64-bit"},
		"big endian":         {header(func(h *elf.Header64) { h.Ident[elf.EI_DATA] = byte(elf.ELFDATA2MSB) }), "little-endian"},
		"many sections":      {header(func(h *elf.Header64) { h.Shnum = 0xfeff }), "more than 10000 sections"},
		"extended sections":  {header(func(h *elf.Header64) { h.Shnum = 0 }), "more than 10000 sections"},
		"far sections":       {header(func(h *elf.Header64) { h.Shoff = 1<<64 - 64 }), "end before the section headers"},
		"far segments":       {header(func(h *elf.Header64) { h.Phoff = 1<<64 - 8 }), "end before the program headers"},
		"many segments":      {header(func(h *elf.Header64) { h.Phnum = 0xffff }), "incomplete"},
		"small sections":     {header(func(h *elf.Header64) { h.Shentsize = 1 }), "too small"},
		"small segments":     {header(func(h *elf.Header64) { h.Phentsize = 1 }), "too small"},
		"an object":          {header(func(h *elf.Header64) { h.Type = uint16(elf.ET_REL) }), "neither a library nor a program"},
		"a compressed table": {section(elf.SHT_STRTAB, func(s *elf.Section64) { s.Flags |= uint64(elf.SHF_COMPRESSED) }), "compressed"},
		"a huge table":       {section(elf.SHT_DYNSYM, func(s *elf.Section64) { s.Size = 1 << 40 }), "bytes"},
	} {
		f := read(bytes.NewReader(c.b), int64(len(c.b)))
		if f.Form != Other || !strings.Contains(f.Damage, c.says) {
			t.Errorf("%s: %+v, want %q", name, f, c.says)
		}
	}

	if f := read(bytes.NewReader(header(func(h *elf.Header64) { h.Machine = uint16(elf.EM_S390) })), int64(len(good))); !f.Foreign || f.Machine != "EM_S390" {
		t.Errorf("another machine: %+v", f)
	}
	// Without section headers the linker loads it; here its symbols are not known.
	if f := read(bytes.NewReader(header(func(h *elf.Header64) { h.Shoff, h.Shnum, h.Shstrndx = 0, 0, 0 })), int64(len(good))); f.Form != Library || f.Exports != nil {
		t.Errorf("no sections: %+v", f)
	}
}

func FuzzRead(f *testing.F) {
	b := whole(f)
	f.Add(b)
	for _, n := range []int{64, 1000, 10_000} {
		f.Add(b[:min(n, len(b))])
	}
	f.Add([]byte("#!/bin/sh\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		facts := read(bytes.NewReader(b), int64(len(b)))
		if (facts.Form == Other) != (facts.Damage != "") {
			t.Errorf("%+v", facts)
		}
		if strings.HasPrefix(facts.Damage, "the file is damaged: runtime error") {
			t.Log(facts.Damage) // debug/elf panicked, and that was caught
		}
		if len(facts.Needs) > maxNeeds || len(facts.Build.Compiler) > 1000 {
			t.Errorf("%d needs, a compiler of %d bytes", len(facts.Needs), len(facts.Build.Compiler))
		}
	})
}
