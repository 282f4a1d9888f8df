package inspect

import (
	"bytes"
	"cmp"
	"debug/buildinfo"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

const (
	// maxSections is more than any compiler makes for a package.
	maxSections = 10_000

	// maxTable bounds what is read of one section, in bytes.
	maxTable = 64 << 20

	// maxComment bounds what compilers leave of themselves.
	maxComment = 64 << 10

	// maxSearch is how far constants are searched for traces of a compiler.
	maxSearch = 16 << 20
)

// Form is what a file is.
type Form string

// The forms of a file.
const (
	Library Form = "library"
	Program Form = "program"
	Other   Form = "other" // neither; Facts.Damage says why
)

// Facts are what a file's bytes tell.
type Facts struct {
	Path     string    `json:"path"`
	Form     Form      `json:"form"`
	Size     int64     `json:"size"` // bytes
	Modified time.Time `json:"modified"`

	// Damage says what keeps the file from being read further, "" if nothing does.
	Damage string `json:"damage,omitempty"`

	Machine  string `json:"machine,omitempty"`  // such as amd64
	Foreign  bool   `json:"foreign,omitempty"`  // it is for another machine than this
	Stripped bool   `json:"stripped,omitempty"` // it has no symbols for a debugger
	Build    Build  `json:"build,omitzero"`

	// Exports has all functions of the ABI. Nil if that cannot be told.
	Exports []Export `json:"exports,omitempty"`

	// Needs are the libraries it is linked against, and those behind them.
	Needs []Need `json:"needs,omitempty"`
}

// Export is a function of the ABI that a library may export.
type Export struct {
	Symbol   string `json:"symbol"`
	Required bool   `json:"required"`
	Present  bool   `json:"present"`
}

// Build is how a file was built, as far as it can be told.
type Build struct {
	Language string `json:"language,omitempty"` // such as Go
	Compiler string `json:"compiler,omitempty"` // such as go1.26.8
	Module   string `json:"module,omitempty"`   // of Go, and its version
	Version  string `json:"version,omitempty"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"` // there were changes on top of the revision

	// Spider tells that it is built with the Go SDK.
	Spider bool `json:"-"`
}

// sdkModule is the Go SDK's module, in Go's build information.
const sdkModule = "github.com/spider-go/spider"

// Read looks at a file. The error says that it cannot be read at all; whatever is wrong
// with its contents is in Facts.Damage.
func Read(path string) (Facts, error) {
	f, err := openRegular(path)
	if err != nil {
		return Facts{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Facts{}, err
	}
	facts := read(f, info.Size())
	facts.Path, facts.Size, facts.Modified = path, info.Size(), info.ModTime()
	// A library may have an interpreter, as the C library does; its name decides.
	if facts.Form == Program && strings.HasSuffix(path, ".so") {
		facts.Form = Library
	}
	if facts.Form == Other && info.Mode()&0o111 != 0 && isScript(f) {
		facts.Form, facts.Damage, facts.Build.Language = Program, "", "script"
	}
	if facts.Form != Other {
		facts.Needs = resolve(path, facts.Needs)
	}
	return facts, nil
}

// openRegular does not wait for a FIFO's other end.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("not a regular file")}
	}
	return os.Open(path)
}

func isScript(f io.ReaderAt) bool {
	start := make([]byte, 2)
	_, err := f.ReadAt(start, 0)
	return err == nil && string(start) == "#!"
}

// read looks at an ELF file of size bytes. The Needs it returns have only their names.
func read(f io.ReaderAt, size int64) (facts Facts) {
	// debug/elf makes no promise for hostile input. The checks before it keep what it
	// allocates in bounds; this keeps what they have missed from ending the program.
	defer func() {
		if r := recover(); r != nil {
			facts = Facts{Form: Other, Damage: fmt.Sprintf("the file is damaged: %v", r)}
		}
	}()
	other := func(format string, args ...any) Facts {
		return Facts{Form: Other, Damage: fmt.Sprintf(format, args...)}
	}
	if reason := check(f, size); reason != "" {
		return other("%s", reason)
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return other("the file is damaged: %v", err)
	}
	facts.Machine, facts.Foreign = machine(e.Machine)
	facts.Form = form(e)
	if facts.Form == Other {
		facts.Damage = fmt.Sprintf("an ELF file of type %v, neither a library nor a program", e.Type)
	}
	facts.Stripped = e.SectionByType(elf.SHT_SYMTAB) == nil
	facts.Exports = exports(e)
	facts.Needs = needs(e)
	facts.Build = build(f, e)
	return facts
}

// check says what keeps a file from being given to debug/elf: it is no 64-bit
// little-endian ELF file, it ends too early, or it has tables that would take
// memory without bound.
func check(f io.ReaderAt, size int64) string {
	var header elf.Header64
	start := make([]byte, binary.Size(header))
	n, err := f.ReadAt(start, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err.Error()
	}
	switch {
	case size == 0:
		return "the file is empty"
	case !bytes.HasPrefix(start[:n], []byte(elf.ELFMAG)):
		return "not an ELF file"
	case n < len(start):
		return "the file is incomplete: it ends in its header"
	case elf.Class(start[elf.EI_CLASS]) != elf.ELFCLASS64:
		return "not a 64-bit ELF file"
	case elf.Data(start[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return "not a little-endian ELF file"
	}
	if _, err := binary.Decode(start, binary.LittleEndian, &header); err != nil {
		return err.Error()
	}
	if header.Phnum > 0 && int(header.Phentsize) < binary.Size(elf.Prog64{}) {
		return "the file is damaged: its program headers are too small"
	}
	entry := make([]byte, binary.Size(elf.Section64{}))
	for i := range uint64(header.Phnum) {
		var segment elf.Prog64
		at := entry[:binary.Size(segment)]
		if !readAt(f, at, header.Phoff+i*uint64(header.Phentsize), size) {
			return fmt.Sprintf("the file is incomplete: its %d bytes end before the program headers", size)
		}
		if _, err := binary.Decode(at, binary.LittleEndian, &segment); err != nil {
			return err.Error()
		}
		if elf.ProgType(segment.Type) == elf.PT_LOAD && (segment.Off > uint64(size) || segment.Filesz > uint64(size)-segment.Off) {
			return fmt.Sprintf("the file is incomplete: it has %d bytes, and a segment ends at %d", size, segment.Off+segment.Filesz)
		}
	}
	if header.Shoff == 0 {
		return ""
	}
	switch {
	case header.Shnum == 0 || header.Shnum > maxSections || header.Shstrndx >= uint16(elf.SHN_LORESERVE):
		return fmt.Sprintf("the file is damaged or strange: more than %d sections", maxSections)
	case int(header.Shentsize) < len(entry):
		return "the file is damaged: its section headers are too small"
	}
	for i := range uint64(header.Shnum) {
		var section elf.Section64
		if !readAt(f, entry, header.Shoff+i*uint64(header.Shentsize), size) {
			return fmt.Sprintf("the file is incomplete: its %d bytes end before the section headers", size)
		}
		if _, err := binary.Decode(entry, binary.LittleEndian, &section); err != nil {
			return err.Error()
		}
		switch kind := elf.SectionType(section.Type); {
		case kind == elf.SHT_NOBITS || kind == elf.SHT_NULL:
		case kind != elf.SHT_PROGBITS && elf.SectionFlag(section.Flags)&elf.SHF_COMPRESSED != 0:
			// Only what debuggers read is compressed; a small file could unfold here.
			return fmt.Sprintf("the file is damaged or strange: section %d of type %v is compressed", i, kind)
		case kind != elf.SHT_PROGBITS && section.Size > maxTable:
			return fmt.Sprintf("the file is damaged or strange: section %d of type %v has %d bytes", i, kind, section.Size)
		}
	}
	return ""
}

// readAt fills b, if it lies within the file.
func readAt(f io.ReaderAt, b []byte, offset uint64, size int64) bool {
	if offset > uint64(size) || uint64(len(b)) > uint64(size)-offset {
		return false
	}
	n, err := f.ReadAt(b, int64(offset))
	return n == len(b) && (err == nil || errors.Is(err, io.EOF))
}

var machines = map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_RISCV: "riscv64",
	elf.EM_PPC64: "ppc64le", elf.EM_LOONGARCH: "loong64"}

// machine names it as Go does.
func machine(m elf.Machine) (name string, foreign bool) {
	name = cmp.Or(machines[m], m.String())
	return name, name != runtime.GOARCH
}

func form(e *elf.File) Form {
	interpreted := slices.ContainsFunc(e.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	switch {
	case e.Type == elf.ET_EXEC, e.Type == elf.ET_DYN && (interpreted || pie(e)):
		return Program
	case e.Type == elf.ET_DYN:
		return Library
	}
	return Other
}

// pie reports whether a file without an interpreter is a program all the same.
func pie(e *elf.File) bool {
	flags, err := e.DynValue(elf.DT_FLAGS_1)
	return err == nil && len(flags) > 0 && elf.DynFlag1(flags[0])&elf.DF_1_PIE != 0
}

// The functions of the ABI, as in tdl.h.
var abi = []Export{
	{Symbol: "__spider_tdl_package_get_version", Required: true},
	{Symbol: "__spider_tdl_package_get_name", Required: true},
	{Symbol: "__spider_tdl_package_execute", Required: true},
	{Symbol: "__spider_tdl_package_init"},
	{Symbol: "__spider_tdl_package_describe"},
}

func exports(e *elf.File) []Export {
	symbols, err := e.DynamicSymbols()
	if err != nil {
		return nil
	}
	list := slices.Clone(abi)
	for _, s := range symbols {
		if s.Section == elf.SHN_UNDEF {
			continue
		}
		if i := slices.IndexFunc(list, func(x Export) bool { return x.Symbol == s.Name }); i >= 0 {
			list[i].Present = true
		}
	}
	return list
}

// build looks for what compilers leave: Go its build information, others their names in
// .comment, Rust the places of its own sources.
func build(f io.ReaderAt, e *elf.File) Build {
	if info, err := buildinfo.Read(f); err == nil {
		return goBuild(info)
	}
	comment := contents(e.Section(".comment"), maxComment)
	compilers := strings.FieldsFunc(string(comment), func(r rune) bool { return r == 0 })
	find := func(mark string) string {
		if i := slices.IndexFunc(compilers, func(c string) bool { return strings.Contains(c, mark) }); i >= 0 {
			return printable(compilers[i])
		}
		return ""
	}
	if rustc := find("rustc"); rustc != "" {
		return Build{Language: "Rust", Compiler: rustc}
	}
	// Its standard library's panics name their source files.
	if bytes.Contains(contents(e.Section(".rodata"), maxSearch), []byte("/rustc/")) {
		return Build{Language: "Rust"}
	}
	compiler := cmp.Or(find("clang"), find("GCC"))
	if compiler == "" && len(compilers) > 0 {
		compiler = printable(compilers[0])
	}
	switch libraries, _ := e.ImportedLibraries(); {
	case slices.ContainsFunc(libraries, func(l string) bool {
		return strings.HasPrefix(l, "libstdc++") || strings.HasPrefix(l, "libc++")
	}):
		return Build{Language: "C++", Compiler: compiler}
	case strings.Contains(compiler, "GCC") || strings.Contains(compiler, "clang"):
		return Build{Language: "C", Compiler: compiler}
	}
	return Build{Compiler: compiler}
}

func goBuild(info *debug.BuildInfo) Build {
	b := Build{Language: "Go", Compiler: info.GoVersion, Module: info.Main.Path, Version: info.Main.Version}
	b.Spider = info.Main.Path == sdkModule ||
		slices.ContainsFunc(info.Deps, func(m *debug.Module) bool { return m.Path == sdkModule })
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// contents are a section's bytes, limit of them at most; nil where there are none to read.
func contents(s *elf.Section, limit int64) []byte {
	if s == nil || s.Type == elf.SHT_NOBITS || s.Flags&elf.SHF_COMPRESSED != 0 {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(s.Open(), limit))
	if err != nil {
		return nil
	}
	return b
}

// printable keeps a compiler's name to one line of bounded length.
func printable(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
	const limit = 200
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return text
}
