// Package guides_test does what the guides say: it writes their files, runs their
// commands and compares what these print.
//
// A fenced block with the info string "LANGUAGE file=PATH" is a file. One with the info
// string "console" is commands, each behind "$ ", with what they print below, where a
// line "..." stands for any lines, and "..." in a line for any text. All blocks of a
// guide share one scratch folder and one shell. Other blocks are for reading.
package guides_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spider-go/spider/internal/tasktest"
)

// block is a fenced block of a guide.
type block struct {
	line int    // where it begins
	info string // behind the fence
	text string
}

func blocks(t *testing.T, text string) (found []block) {
	t.Helper()
	var open *block
	for i, line := range strings.SplitAfter(text, "\n") {
		info, fence := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "```")
		switch {
		case fence && open == nil:
			open = &block{line: i + 1, info: strings.TrimSpace(info)}
		case fence:
			found, open = append(found, *open), nil
		case open != nil:
			open.text += line
		}
	}
	if open != nil {
		t.Errorf("the block in line %d has no end", open.line)
	}
	return found
}

// command is one command and what it should print.
type command struct {
	line      int
	text, out string
}

func commands(t *testing.T, b block) (list []command) {
	t.Helper()
	for i, line := range strings.SplitAfter(b.text, "\n") {
		if text, ok := strings.CutPrefix(line, "$ "); ok {
			list = append(list, command{line: b.line + 1 + i, text: strings.TrimSpace(text)})
		} else if len(list) > 0 {
			list[len(list)-1].out += line
		} else if line != "" {
			t.Fatalf("line %d: output without a command", b.line+1+i)
		}
	}
	return list
}

// printed reports whether got is what want says.
func printed(want, got string) bool {
	var pattern strings.Builder
	for _, line := range strings.SplitAfter(want, "\n") {
		if line == "...\n" {
			pattern.WriteString(`(?:.*\n)*`)
			continue
		}
		for i, part := range strings.Split(line, "...") {
			if i > 0 {
				pattern.WriteString(".*")
			}
			pattern.WriteString(regexp.QuoteMeta(part))
		}
	}
	return regexp.MustCompile("^" + pattern.String() + "$").MatchString(got)
}

// mark separates the outputs of commands.
const mark = "\x01end\x01\n"

// run runs all commands in one shell, and returns what each printed.
func run(t *testing.T, dir string, env []string, list []command) []string {
	t.Helper()
	script := "exec 2>&1\n"
	for _, c := range list {
		script += c.text + "\nprintf '\\001end\\001\\n'\n"
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.Split(string(out), mark)
}

func TestGuides(t *testing.T) {
	t.Parallel()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	guides, err := filepath.Glob("*.md")
	if err != nil || len(guides) == 0 {
		t.Fatalf("no guides here: %v", err)
	}
	for _, guide := range guides {
		t.Run(guide, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(guide)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(text), "$ cargo ") {
				if reason, err := tasktest.FetchCrates(); err != nil {
					t.Fatal(err)
				} else if reason != "" {
					t.Skip(reason)
				}
			}
			dir := t.TempDir()
			env := append(os.Environ(),
				"PATH="+filepath.Dir(built.Spider)+":"+os.Getenv("PATH"),
				"SPIDER_SRC="+root,
				"SPIDER_TDL_PACKAGE_DIR="+filepath.Join(dir, "packages"),
				// The crates have been fetched; newer ones are not looked for.
				"CARGO_NET_OFFLINE=true",
				"SPIDER_CONFIG=/dev/null",
				"XDG_CACHE_HOME="+t.TempDir(),
			)
			follow(t, dir, env, blocks(t, string(text)))
		})
	}
}

// follow does what a guide says. Files stand where the text first has them, so they
// are written in turn with the commands.
func follow(t *testing.T, dir string, env []string, all []block) {
	var list []command
	files := 0
	for _, b := range all {
		_, path, isFile := strings.Cut(b.info, " file=")
		switch {
		case isFile:
			files++
			// In the shell, since it comes after the commands above it.
			name := fmt.Sprintf("%s/.file%d", dir, files)
			if err := os.WriteFile(name, []byte(b.text), 0o644); err != nil {
				t.Fatal(err)
			}
			list = append(list, command{line: b.line,
				text: fmt.Sprintf(`mkdir -p "%[1]s" && cp "%[2]s" "%[3]s"`, filepath.Join(dir, filepath.Dir(path)), name, filepath.Join(dir, path))})
		case b.info == "console":
			list = append(list, commands(t, b)...)
		}
	}
	if files == 0 || len(list) == files {
		t.Fatalf("%d files and %d commands: is the guide marked up?", files, len(list)-files)
	}
	for i, got := range run(t, dir, env, list)[:len(list)] {
		if c := list[i]; !printed(c.out, got) {
			t.Errorf("line %d: $ %s\nprints\n%s\nnot\n%s", c.line, c.text, got, c.out)
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
	} {
		if got := printed(c.want, c.got); got != c.equal {
			t.Errorf("%q against %q: %v", c.want, c.got, got)
		}
	}
}
