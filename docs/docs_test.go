// Package docs_test does what README.md and the documents say: it writes their files, runs
// their commands and compares what these print. So no document shows what is not so.
//
// A fenced block is one of these, by what stands behind the fence:
//
//	console          commands, each behind "$ ", with what they print below. A command
//	                 goes on in lines that begin with "> ".
//	LANGUAGE file=F  the file F, written when its turn comes
//	other            for reading
//
// A block may also say needs=A,B: it is skipped, aloud, where this machine lacks one of
// these; see lacks. Reading alone is no way around the test: a block of another kind, or
// indented text, with commands in it is a fault, and so is Go that is no file. The lists
// in exceptions_test.go say what is shown and not run, and why.
//
// All blocks of a document share one scratch folder and one shell. Its home has a clone
// of this repository, ~/spider, in which "make build" has been run. README.md and what
// lies in docs begin in the clone, guides in an empty folder.
//
// What a command prints is compared exactly, but for:
//
//	...                         any text in a line; any lines, if it is one of its own
//	1.53ms                      a time with a fraction is any time
//	pid 4711, "pid":4711        any number
//	"wall_us":1234              any number, of all names that end in _us
//	2026-11-25 23:27:16         any date and time, also as 2026-11-25T23:27:16.5Z
//	5.3 MB                      any size in kB or MB
//	go1.26.8                    any version of Go
package docs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/tasktest"
)

// patience is how long a document may take.
const patience = 10 * time.Minute

// document is one file, cut up.
type document struct {
	path   string // from the root
	blocks []block
	loose  []command // that stand where nothing runs them
	prose  string    // what is not in a block
	faults []string
}

// block is a fenced block.
type block struct {
	line  int    // where it begins
	kind  string // the first word behind the fence
	file  string
	needs []string
	text  string
}

// command is one command and what it should print.
type command struct {
	line      int
	text, out string
	needs     []string
}

var (
	looksLikeCommand = regexp.MustCompile(`^\s*(?:\$ |(?:make|spider|spider-task-executor|go|cargo|git|cc|sudo|gdb|export|source|build/bin/\S+) \S)`)
	readOnly         = regexp.MustCompile(`^(text|json|toml|c|ini|yaml|markdown|sh|go|)$`)
)

func read(path, text string) (d document) {
	d.path = path
	fault := func(line int, format string, args ...any) {
		d.faults = append(d.faults, fmt.Sprintf("line %d: ", line)+fmt.Sprintf(format, args...))
	}
	loose := func(line int, text string) {
		text, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(text), "$ "), "  #")
		d.loose = append(d.loose, command{line: line, text: strings.TrimSpace(text)})
	}
	var open *block
	for i, line := range strings.SplitAfter(text, "\n") {
		n := i + 1
		info, fence := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "```")
		switch {
		case fence && open == nil:
			open = &block{line: n}
			for j, word := range strings.Fields(info) {
				name, value, assigned := strings.Cut(word, "=")
				switch {
				case j == 0 && !assigned:
					open.kind = word
				case name == "file" && filepath.IsLocal(value):
					open.file = value
				case name == "needs":
					open.needs = strings.Split(value, ",")
				default:
					fault(n, "what is %q behind the fence?", word)
				}
			}
			if open.file == "" && open.kind != "console" && !readOnly.MatchString(open.kind) {
				fault(n, "no block of the kind %q is known", open.kind)
			}
		case fence:
			if open.kind == "go" && open.file == "" {
				first, _, _ := strings.Cut(open.text, "\n")
				d.loose = append(d.loose, command{line: open.line, text: first})
			}
			d.blocks, open = append(d.blocks, *open), nil
		case open != nil:
			open.text += line
			if open.kind != "console" && open.file == "" && (open.kind == "sh" && strings.TrimSpace(line) != "" || looksLikeCommand.MatchString(line)) {
				loose(n, line)
			}
		default:
			d.prose += line
		}
		if !fence && open == nil && (strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "\t")) && looksLikeCommand.MatchString(line) {
			loose(n, line)
		}
	}
	if open != nil {
		fault(open.line, "the block has no end")
	}
	return d
}

// commands are those of a console.
func (b block) commands() (list []command, err error) {
	for i, line := range strings.SplitAfter(b.text, "\n") {
		n := b.line + 1 + i
		if text, ok := strings.CutPrefix(line, "$ "); ok {
			list = append(list, command{line: n, text: strings.TrimSuffix(text, "\n"), needs: b.needs})
			continue
		}
		if line == "" {
			continue
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("line %d: output without a command", n)
		}
		last := &list[len(list)-1]
		if text, ok := strings.CutPrefix(line, "> "); ok && last.out == "" {
			last.text += "\n" + strings.TrimSuffix(text, "\n")
		} else {
			last.out += line
		}
	}
	return list, nil
}

// vary is what stands for more than itself in what a document says is printed.
var vary = []struct{ shown, any *regexp.Regexp }{
	{regexp.MustCompile(`\.\.\.`), regexp.MustCompile(`.*`)},
	{regexp.MustCompile(`\d+\.\d+(?:µs|ms|s)\b`), regexp.MustCompile(`(?:\d+m)?[\d.]+(?:ns|µs|ms|s)`)},
	{regexp.MustCompile(`\bpid \d+`), regexp.MustCompile(`pid \d+`)},
	{regexp.MustCompile(`"pid":\d+`), regexp.MustCompile(`"pid":\d+`)},
	{regexp.MustCompile(`_us":\d+`), regexp.MustCompile(`_us":\d+`)},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?`), regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?`)},
	{regexp.MustCompile(`\b[\d.]+ [kM]B\b`), regexp.MustCompile(`[\d.]+ [kM]B`)},
	{regexp.MustCompile(`\bgo1\.[\d.]+\b`), regexp.MustCompile(`go1\.[\d.]+`)},
}

// pattern matches what a line of a document stands for.
func pattern(line string) string {
	for _, v := range vary {
		if at := v.shown.FindStringIndex(line); at != nil {
			return pattern(line[:at[0]]) + "(?:" + v.any.String() + ")" + pattern(line[at[1]:])
		}
	}
	return regexp.QuoteMeta(line)
}

// printed reports whether got is what want says.
func printed(want, got string) bool {
	var all strings.Builder
	for _, line := range strings.SplitAfter(want, "\n") {
		if line == "...\n" {
			all.WriteString(`(?:.*\n)*`)
		} else {
			all.WriteString(pattern(line))
		}
	}
	return regexp.MustCompile("^" + all.String() + "$").MatchString(got)
}

// documents returns all of them.
func documents(t *testing.T) (all []document) {
	t.Helper()
	paths := []string{"../README.md"}
	for _, glob := range []string{"*.md", "*/*.md"} {
		found, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, read(filepath.ToSlash(filepath.Join("docs", path)), string(text)))
	}
	return all
}

// TestNothingIsShownUnrun finds commands and Go that no test follows, and exceptions that
// are none any more.
func TestNothingIsShownUnrun(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		for _, fault := range d.faults {
			t.Errorf("%s, %s", d.path, fault)
		}
		used := map[string]bool{}
		for _, c := range d.loose {
			if notRun[d.path][c.text] == "" {
				t.Errorf("%s, line %d: nothing tries %q: make it a console or a file, or an exception", d.path, c.line, c.text)
			}
			used[c.text] = true
		}
		for _, b := range d.blocks {
			if b.kind != "console" {
				continue
			}
			list, err := b.commands()
			if err != nil {
				t.Errorf("%s, %v", d.path, err)
			}
			for _, c := range list {
				used[c.text] = true
			}
		}
		for text, why := range notRun[d.path] {
			if !used[text] {
				t.Errorf("%s: %q is an exception (%s), and is not there", d.path, text, why)
			}
		}
	}
}

func TestDocuments(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	tools := tools(t)
	for _, d := range documents(t) {
		if len(d.faults) > 0 || !d.runs() {
			continue
		}
		t.Run(d.path, func(t *testing.T) {
			t.Parallel()
			home := scratch(t)
			clone(t, root, built, filepath.Join(home, "spider"))
			dir := filepath.Join(home, "spider")
			if strings.HasPrefix(d.path, "docs/guides/") {
				dir = filepath.Join(home, "work")
			}
			for _, made := range []string{dir, filepath.Join(home, "tmp"), filepath.Join(home, "run")} {
				if err := os.MkdirAll(made, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			follow(t, d, dir, append(environment(), append(tools,
				"HOME="+home,
				"TMPDIR="+filepath.Join(home, "tmp"),
				"XDG_RUNTIME_DIR="+filepath.Join(home, "run"))...))
		})
	}
}

func (d document) runs() bool {
	return slices.ContainsFunc(d.blocks, func(b block) bool { return b.kind == "console" || b.file != "" })
}

// environment is this process's own, without what a newcomer would not have set.
func environment() (env []string) {
	for _, assignment := range os.Environ() {
		name, _, _ := strings.Cut(assignment, "=")
		if !strings.HasPrefix(name, "SPIDER_") && !strings.HasPrefix(name, "XDG_") && name != "RUST_LOG" && name != "NO_COLOR" {
			env = append(env, assignment)
		}
	}
	return append(env, "LC_ALL=C.UTF-8")
}

// tools are the variables by which compilers find in any home what they have at hand.
func tools(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOPATH", "GOMODCACHE", "GOCACHE", "GOFLAGS").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	either := func(name, otherwise string) string {
		if value := os.Getenv(name); value != "" {
			return name + "=" + value
		}
		return name + "=" + filepath.Join(home, otherwise)
	}
	return []string{
		"GOPATH=" + lines[0], "GOMODCACHE=" + lines[1], "GOCACHE=" + lines[2],
		// What is compiled is then found again wherever the scratch folder is.
		"GOFLAGS=" + strings.TrimSpace(lines[3]+" -trimpath"),
		either("CARGO_HOME", ".cargo"), either("RUSTUP_HOME", ".rustup"),
		"CARGO_NET_OFFLINE=true", // what is needed has been fetched
	}
}

// scratch makes a folder with a path short enough for sockets in it.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "docs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// clone makes a folder that looks like the repository after make build. Sources are
// linked; packages are files of their own, as Landlock would have it, and can be added.
func clone(t *testing.T, root string, built tasktest.Built, dir string) {
	t.Helper()
	link := func(from, to string, skip ...string) {
		t.Helper()
		if err := os.MkdirAll(to, 0o700); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(from)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if slices.Contains(skip, e.Name()) {
				continue
			}
			if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	link(root, dir, "build", ".git")
	link(filepath.Dir(built.Spider), filepath.Join(dir, "build", "bin"))
	err := filepath.WalkDir(built.Packages, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(built.Packages, path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, "build", "tdl_packages", name)
		switch {
		case e.IsDir():
			return os.MkdirAll(to, 0o700)
		case os.Link(path, to) == nil: // nobody writes into a package
			return nil
		}
		text, err := os.ReadFile(path) // on another file system
		if err != nil {
			return err
		}
		return os.WriteFile(to, text, 0o755)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// lacks says what a block needs and this machine lacks, "" if it has all.
func lacks(t *testing.T, needs []string) string {
	t.Helper()
	for _, what := range needs {
		switch what {
		case "crates":
			if reason, err := tasktest.FetchCrates(); err != nil {
				t.Fatal(err)
			} else if reason != "" {
				return reason
			}
		case "cores":
			text, err := os.ReadFile("/proc/sys/kernel/core_pattern")
			if err != nil || strings.ContainsAny(string(text), "|/%") {
				return fmt.Sprintf("core dumps are not files core in the working directory: %q, %v", text, err)
			}
		case "asan":
			out, err := exec.Command("cc", "-print-file-name=libasan.so").Output()
			if err != nil || !filepath.IsAbs(strings.TrimSpace(string(out))) {
				return "the C compiler has no AddressSanitizer"
			}
		case "landlock":
			if !kernelHasLandlock() {
				return "the kernel has no Landlock"
			}
		default:
			if _, err := exec.LookPath(what); err != nil {
				return "there is no " + what + " on PATH"
			}
		}
	}
	return ""
}

// follow does what a document says. Files are written in turn with the commands, from
// the shell.
func follow(t *testing.T, d document, dir string, env []string) {
	var list []command
	for i, b := range d.blocks {
		switch {
		case b.file != "":
			text := filepath.Join(t.TempDir(), fmt.Sprint(i))
			if err := os.WriteFile(text, []byte(b.text), 0o644); err != nil {
				t.Fatal(err)
			}
			list = append(list, command{line: b.line, needs: b.needs, text: fmt.Sprintf(`mkdir -p "%[1]s" && cp "%[2]s" "%[3]s"`,
				filepath.Join(dir, filepath.Dir(b.file)), text, filepath.Join(dir, b.file))})
		case b.kind == "console":
			these, err := b.commands()
			if err != nil {
				t.Fatal(err)
			}
			if why := lacks(t, b.needs); why != "" {
				t.Run(fmt.Sprintf("line %d", b.line), func(t *testing.T) { t.Skip(why) })
				continue
			}
			for _, c := range these {
				if notRun[d.path][c.text] == "" {
					list = append(list, c)
				}
			}
		}
	}
	outputs := run(t, dir, env, list)
	for i, c := range list {
		if i >= len(outputs) {
			t.Errorf("line %d: $ %s\nwas not reached", c.line, c.text)
		} else if got := outputs[i]; !printed(c.out, got) {
			t.Errorf("%s, line %d: $ %s\nprints\n%s\nnot\n%s", d.path, c.line, c.text, got, c.out)
		}
	}
}

// mark separates the outputs of commands.
const mark = "\x01end\x01\n"

// run runs all commands in one shell, and returns what each printed, up to one that ends
// the shell.
func run(t *testing.T, dir string, env []string, list []command) []string {
	t.Helper()
	script := "exec 2>&1\n"
	for _, c := range list {
		// The next command can ask for $?.
		script += c.text + "\ndocs_status=$?; printf '\\001end\\001\\n'; (exit $docs_status)\n"
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", script)
	cmd.Dir, cmd.Env = dir, env
	// What commands have left behind ends with them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endAll := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel, cmd.WaitDelay = endAll, time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && (ctx.Err() != nil || !errors.As(err, &exit)) {
		t.Errorf("%v, %v", err, ctx.Err())
	}
	if cmd.Process != nil {
		if err := endAll(); err == nil {
			t.Error("commands have left processes behind")
		}
	}
	outputs := strings.Split(out.String(), mark)
	if last := outputs[len(outputs)-1]; last != "" {
		return outputs
	}
	return outputs[:len(outputs)-1]
}

// TestLinks finds links to files, and to headings in them, that are not there.
func TestLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#\s]*)(?:#([^)\s]*))?\)`)
	heading := regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInAnchor := regexp.MustCompile("[^a-z0-9 _-]")
	for _, d := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(d.prose, -1) {
			path, anchor := m[1], m[2]
			if strings.Contains(path, "://") {
				continue
			}
			target := filepath.Join("..", filepath.Dir(d.path), path)
			if path == "" {
				target = filepath.Join("..", d.path)
			}
			if _, err := os.Stat(target); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: there is no %s", d.path, path)
				continue
			}
			if anchor == "" {
				continue
			}
			there, err := os.ReadFile(target)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(heading.FindAllStringSubmatch(string(there), -1), func(h []string) bool {
				return strings.ReplaceAll(notInAnchor.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-") == anchor
			}) {
				t.Errorf("%s: %s has no heading %s", d.path, path, anchor)
			}
		}
	}
}

// TestMentioned looks at commands that are not run: those that prose mentions, and the
// exceptions. Commands, flags and targets of make that they name are there.
func TestMentioned(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	help := map[string]string{}
	helpOf := func(command string) string {
		if _, asked := help[command]; !asked {
			out, err := exec.Command(built.Spider, command, "--help").Output()
			if err != nil {
				out = nil
			}
			// A flag that can be negated is shown as --[no-]flag or --flag/negative.
			help[command] = strings.NewReplacer("[no-]", "", "/", " --").Replace(string(out))
		}
		return help[command]
	}
	span := regexp.MustCompile("`([^`]+)`")
	flag := regexp.MustCompile(`--(?:no-)?([a-z][a-z-]*)`)
	for _, d := range documents(t) {
		var mentioned []string
		for text := range notRun[d.path] {
			mentioned = append(mentioned, text)
		}
		for _, m := range span.FindAllStringSubmatch(d.prose, -1) {
			mentioned = append(mentioned, m[1])
		}
		for _, text := range mentioned {
			words := strings.Fields(text)
			if len(words) < 2 || !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(words[1]) {
				continue
			}
			switch filepath.Base(words[0]) {
			case "make":
				if !regexp.MustCompile(`(?m)^` + words[1] + `:`).Match(makefile) {
					t.Errorf("%s: %q: make has no such target", d.path, text)
				}
			case "spider":
				help := helpOf(words[1])
				if help == "" {
					t.Errorf("%s: %q: spider has no such command", d.path, text)
				}
				for _, m := range flag.FindAllStringSubmatch(text, -1) {
					if !regexp.MustCompile(`--` + m[1] + `\b`).MatchString(help) {
						t.Errorf("%s: %q: the command has no flag --%s", d.path, text, m[1])
					}
				}
			}
		}
	}
}

// The comparison itself tells right from wrong.
func TestPrinted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		want, got string
		equal     bool
	}{
		{"", "", true},
		{"", "a\n", false},
		{"a\n", "a\n", true},
		{"a\n", "b\n", false},
		{"a\n", "a\nb\n", false},
		{"a...c\n", "abc\n", true},
		{"a...c\n", "ab\nc\n", false},
		{"a\n...\nb\n", "a\nb\n", true},
		{"a\n...\nb\n", "a\nx\ny\nb\n", true},
		{"a\n...\n", "b\nx\n", false},
		{"(.*)\n", "x\n", false},
		{"after 1.5ms, 3\n", "after 812µs, 3\n", true},
		{"after 1.5ms, 3\n", "after 1m2.03s, 3\n", true},
		{"after 1.5ms, 3\n", "after 1.5ms, 4\n", false},
		{"within 200ms\n", "within 300ms\n", false},
		{"(pid 7)\n", "(pid 81234)\n", true},
		{"pid: 7\n", "pid: 8\n", false},
		{`{"wall_us":1,"n":1}`, `{"wall_us":99,"n":1}`, true},
		{`{"wall_us":1,"n":1}`, `{"wall_us":1,"n":2}`, false},
		{"changed 2026-11-25 23:27:16\n", "changed 2027-01-02 03:04:05\n", true},
		{`"2026-11-25T23:27:16.123Z"`, `"2027-01-02T03:04:05.6+01:00"`, true},
		{"5.3 MB\n", "38 kB\n", true},
		{"go1.26.8\n", "go1.27\n", true},
	} {
		if got := printed(c.want, c.got); got != c.equal {
			t.Errorf("%q against %q: %v", c.want, c.got, got)
		}
	}
}

// What is to be found is found.
func TestRead(t *testing.T) {
	t.Parallel()
	text := strings.Join([]string{
		"    make bench  # long", "", "    x = 1", "```sh", "whatever", "```",
		"```go", "p.Close()", "```", "```text", "$ spider run", "```",
		"```console needs=gdb,cores", "$ a \\", "> b", "out", "> not a command", "```",
		"```go file=a/main.go", "package main", "```", "```klingon", "```", "```c file=../a.c", "```", "```text",
	}, "\n")
	d := read("README.md", text)
	var loose []string
	for _, c := range d.loose {
		loose = append(loose, c.text)
	}
	if want := []string{"make bench", "whatever", "p.Close()", "spider run"}; !slices.Equal(loose, want) {
		t.Errorf("loose commands %q, want %q", loose, want)
	}
	if len(d.faults) != 3 {
		t.Errorf("%d faults, want a kind, a path and a block without an end: %q", len(d.faults), d.faults)
	}
	list, err := d.blocks[3].commands()
	if err != nil || len(list) != 1 || list[0].text != "a \\\nb" || list[0].out != "out\n> not a command\n" || !slices.Equal(list[0].needs, []string{"gdb", "cores"}) {
		t.Errorf("%+v, %v", list, err)
	}
	if b := d.blocks[4]; b.file != "a/main.go" || b.text != "package main\n" {
		t.Errorf("%+v", b)
	}
}
