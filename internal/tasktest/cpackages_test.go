package tasktest

import (
	"debug/elf"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestBuildC(t *testing.T) {
	dir := t.TempDir()
	if err := BuildC(dir); err != nil {
		t.Fatal(err)
	}
	for _, p := range CPackages {
		t.Run(p.Name, func(t *testing.T) {
			if p.Doc == "" {
				t.Error("undocumented")
			}
			if p.Source == "" {
				if f, err := elf.Open(p.Path(dir)); err == nil {
					f.Close()
					t.Error("is an ELF file")
				}
				return
			}
			checkLibrary(t, p, p.Path(dir))
		})
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".build-*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

func checkLibrary(t *testing.T, p CPackage, path string) {
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	var exports, undefined []string
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF {
			undefined = append(undefined, s.Name)
		} else {
			exports = append(exports, s.Name)
		}
	}
	want := slices.Sorted(slices.Values(p.Exports))
	if slices.Sort(exports); !slices.Equal(exports, want) {
		t.Errorf("exports %q, want %q", exports, want)
	}
	if got := slices.Contains(undefined, "spider_tasktest_exists_nowhere"); got != (p.Name == "undefined_symbol") {
		t.Errorf("needs the undefined function: %t", got)
	}
	libraries, err := f.ImportedLibraries()
	if err != nil {
		t.Fatal(err)
	}
	var missing []string
	for _, l := range libraries {
		if strings.HasPrefix(l, "libabsent") {
			missing = append(missing, l)
		}
	}
	var wantMissing []string
	if p.Needs != "" {
		wantMissing = []string{"lib" + p.Needs + ".so"}
	}
	if !slices.Equal(missing, wantMissing) {
		t.Errorf("needs %q, want %q", missing, wantMissing)
	}
}

func TestBuildCSkipsWhatIsFresh(t *testing.T) {
	dir := t.TempDir()
	if err := BuildC(dir); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CC", filepath.Join(dir, "no-compiler"))
	if err := BuildC(dir); err != nil {
		t.Errorf("compiles again: %v", err)
	}
	stale := CPackages[0].Path(dir)
	if err := os.Remove(stale); err != nil {
		t.Fatal(err)
	}
	if err := BuildC(dir); err == nil {
		t.Error("does not compile what is missing")
	}
}

func TestBuildCReportsTheCompilersWords(t *testing.T) {
	dir := t.TempDir()
	cc := filepath.Join(dir, "cc")
	if err := os.WriteFile(cc, []byte("#!/bin/sh\necho the compiler says no >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CC", cc)
	err := BuildC(filepath.Join(dir, "packages"))
	if err == nil || !strings.Contains(err.Error(), "the compiler says no") {
		t.Errorf("error %v", err)
	}
}
