package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func testGrammar() *grammar {
	return newGrammar(&streams{out: &output{w: &bytes.Buffer{}}, err: &bytes.Buffer{}}, commands)
}

// Every command says what it is for, has an example, and has flags that say what they
// are and which variable sets them, each its own.
func TestEveryCommandIsExplained(t *testing.T) {
	t.Parallel()
	g := testGrammar()
	envs := map[string]string{}
	check := func(where string, flags []*kong.Flag) {
		for _, flag := range flags {
			name := where + " --" + flag.Name
			if flag.Help == "" {
				t.Errorf("%s has no help", name)
			}
			if flag.Name == "help" || flag.Name == "version" {
				continue
			}
			env := g.settings.envs[flag]
			if env == "" || !strings.Contains(g.settings.help(flag.Value), "$"+env) {
				t.Errorf("%s: the help does not name its variable %q", name, env)
			}
			// The places are the same for all commands.
			if other, taken := envs[env]; taken && flag.Name != "package-dir" && flag.Name != "executor" {
				t.Errorf("%s and %s are both set by %s", name, other, env)
			}
			envs[env] = name
		}
	}
	check("spider", g.parser.Model.Flags)
	for _, command := range g.parser.Model.Children {
		if command.Hidden {
			continue
		}
		if command.Help == "" || !strings.Contains(command.Detail, "Example") || !strings.Contains(command.Detail, "\n    ") {
			t.Errorf("spider %s has no help with an example", command.Name)
		}
		check(command.Name, command.Flags)
		for _, arg := range command.Positional {
			if arg.Help == "" {
				t.Errorf("spider %s: <%s> has no help", command.Name, arg.Name)
			}
		}
	}
}

// The README has the table of exit statuses from here.
func TestReadmeHasTheStatuses(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	table := "| status | meaning |\n|---|---|\n"
	for _, s := range exitStatuses {
		table += "| " + s.status + " | " + s.meaning + " |\n"
	}
	if !bytes.Contains(readme, []byte(table)) {
		t.Errorf("README.md should have this table:\n%s", table)
	}
}

// Statuses of the table and statuses that are returned are the same ones.
func TestStatusesAreInTheTable(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, s := range exitStatuses {
		listed = append(listed, s.status)
	}
	if got := strings.Join(listed, " "); got != "0 1 2 124 125 128+n" {
		t.Errorf("statuses %s", got)
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text  string
		width int
		want  string
	}{
		{"one two three", 7, "one two|three"},
		{"one two three", 100, "one two three"},
		{"onetwothree four", 3, "onetwothree|four"},
		{"", 3, ""},
	} {
		if got := strings.Join(wrap(tt.text, tt.width), "|"); got != tt.want {
			t.Errorf("%q in %d: %q", tt.text, tt.width, got)
		}
	}
}
