package inspect

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Need is a library that a file needs.
type Need struct {
	Name string `json:"name"` // as it is asked for, such as libm.so.6

	// Path is where it was found, "" if nowhere.
	Path string `json:"path,omitempty"`

	// By is the library that needs it, "" for the file itself.
	By string `json:"by,omitempty"`

	// search are the folders that the file itself names.
	search []string
}

// maxNeeds bounds the walk over a file's libraries and theirs.
const maxNeeds = 500

// needs are the names of the libraries that a file itself asks for.
func needs(e *elf.File) (list []Need) {
	names, err := e.ImportedLibraries()
	if err != nil {
		return nil
	}
	search, _ := e.DynString(elf.DT_RUNPATH)
	if len(search) == 0 {
		search, _ = e.DynString(elf.DT_RPATH)
	}
	var folders []string
	for _, s := range search {
		folders = append(folders, strings.Split(s, ":")...)
	}
	for _, name := range names[:min(len(names), maxNeeds)] {
		list = append(list, Need{Name: name, search: folders})
	}
	return list
}

// resolve looks for what the file at path needs, and for what that needs, as the dynamic
// linker of an executor does.
func resolve(path string, list []Need) (found []Need) {
	type wanted struct {
		Need
		from string // the file that asks
	}
	var queue []wanted
	for _, n := range list {
		queue = append(queue, wanted{n, path})
	}
	seen := map[string]bool{}
	for len(queue) > 0 && len(found) < maxNeeds {
		w := queue[0]
		queue = queue[1:]
		if seen[w.Name] {
			continue
		}
		seen[w.Name] = true
		w.Path = locate(w.Need, w.from)
		found = append(found, Need{Name: w.Name, Path: w.Path, By: w.By})
		if w.Path == "" {
			continue
		}
		for _, next := range needsOf(w.Path) {
			next.By = w.Name
			queue = append(queue, wanted{next, w.Path})
		}
	}
	return found
}

// needsOf reads a library's own needs.
func needsOf(path string) []Need {
	f, err := openRegular(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	return readNeeds(f, info.Size())
}

func readNeeds(f *os.File, size int64) (list []Need) {
	defer func() { // as in read
		if recover() != nil {
			list = nil
		}
	}()
	if check(f, size) != "" {
		return nil
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return nil
	}
	return needs(e)
}

// locate returns where the dynamic linker finds n, which from asks for; "" if nowhere.
func locate(n Need, from string) string {
	if strings.Contains(n.Name, "/") {
		if isFile(n.Name) {
			return n.Name
		}
		return ""
	}
	origin := filepath.Dir(from)
	if abs, err := filepath.Abs(from); err == nil {
		origin = filepath.Dir(abs)
	}
	var folders []string
	for _, s := range n.search {
		folders = append(folders, strings.NewReplacer("$ORIGIN", origin, "${ORIGIN}", origin).Replace(s))
	}
	folders = append(folders, strings.Split(os.Getenv("LD_LIBRARY_PATH"), ":")...)
	if path := in(folders, n.Name); path != "" {
		return path
	}
	if path := linkerCache()[n.Name]; path != "" && isFile(path) {
		return path
	}
	return in(defaultFolders(), n.Name)
}

func in(folders []string, name string) string {
	for _, folder := range folders {
		if folder == "" {
			continue
		}
		if path := filepath.Join(folder, name); isFile(path) {
			return path
		}
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// defaultFolders are those that distributions build into the dynamic linker.
var defaultFolders = sync.OnceValue(func() []string {
	folders := []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib"}
	several, _ := filepath.Glob("/lib/*-linux-gnu*")
	more, _ := filepath.Glob("/usr/lib/*-linux-gnu*")
	return slices.Concat(several, more, folders)
})

// linkerCache is /etc/ld.so.cache: paths by name. Empty where there is none.
var linkerCache = sync.OnceValue(func() map[string]string {
	b, err := os.ReadFile("/etc/ld.so.cache")
	if err != nil {
		return nil
	}
	return parseCache(b)
})

// cacheFlags marks libraries for this kind of machine in the cache; 0: not known.
var cacheFlags = map[string]uint32{"amd64": 0x0300, "arm64": 0x0a00}[runtime.GOARCH]

// parseCache reads the form that glibc has written since 2.2, which begins with
// glibc-ld.so.cache1.1, perhaps behind the older form. All numbers are u32:
//
//	20 bytes magic and version, entries, bytes of strings, 20 bytes more
//	for each entry: flags, name, path, 12 bytes more; name and path are offsets of
//	strings, from the magic on, that end with NUL
//
// The first entry of a name counts, if it is for this kind of machine: other kinds
// stand in other folders, which is left to who uses the path.
func parseCache(b []byte) map[string]string {
	const (
		header = 48
		entry  = 24
	)
	start := bytes.Index(b, []byte("glibc-ld.so.cache1.1"))
	if start < 0 {
		return nil
	}
	b = b[start:]
	if len(b) < header {
		return nil
	}
	count := min(int(binary.LittleEndian.Uint32(b[20:])), (len(b)-header)/entry)
	text := func(offset uint32) string {
		if uint64(offset) >= uint64(len(b)) {
			return ""
		}
		const longest = 4096 // as paths are
		s := b[offset:min(len(b), int(offset)+longest)]
		end := bytes.IndexByte(s, 0)
		if end < 0 {
			return ""
		}
		return string(s[:end])
	}
	paths := make(map[string]string, count)
	for i := range count {
		e := b[header+i*entry:]
		flags, name, path := binary.LittleEndian.Uint32(e), text(binary.LittleEndian.Uint32(e[4:])), text(binary.LittleEndian.Uint32(e[8:]))
		if name == "" || paths[name] != "" || cacheFlags != 0 && flags&0xff00 != cacheFlags {
			continue
		}
		paths[name] = path
	}
	return paths
}
