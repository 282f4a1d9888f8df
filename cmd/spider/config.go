package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
)

type configCommand struct {
	JSON bool `help:"One JSON object for each flag, each on a line of its own."`
}

// Help is what spider config --help adds.
func (*configCommand) Help() string {
	return `What it prints is a configuration file itself: of all flags with a value, and with
where each is from. Those that have no value, or their default, are comments.

Example:

    spider config > .spider.toml

See spider help configuration for the files, and what is stronger than what.`
}

// configLine is one flag.
type configLine struct {
	Command string `json:"command,omitempty"` // empty: every command
	Flag    string `json:"flag"`
	Value   any    `json:"value"` // null: none
	Origin  string `json:"origin"`
	Env     string `json:"env"`
}

const (
	originLine    = "the command line"
	originDefault = "default"
	originNone    = "not set"
)

// Run prints the values that the other commands would have.
func (c *configCommand) Run(s *streams, settings *settings, parsed *kong.Context) error {
	list := settings.all(parsed)
	if c.JSON {
		e := json.NewEncoder(s.out)
		for _, l := range list {
			if err := e.Encode(l); err != nil {
				return err
			}
		}
		return nil
	}
	if len(settings.files) == 0 {
		fmt.Fprintln(s.out, "# no configuration file was read")
	}
	for _, f := range settings.files {
		fmt.Fprintf(s.out, "# read: %s\n", oneLine(f.path))
	}
	section := ""
	for _, l := range list {
		if l.Command != section {
			section = l.Command
			fmt.Fprintf(s.out, "\n[%s]\n", section)
		}
		if l.Origin == originNone {
			fmt.Fprintf(s.out, "# %s is not set\n", l.Flag)
			continue
		}
		text, err := toml.Marshal(map[string]any{l.Flag: l.Value})
		if err != nil {
			return err
		}
		assignment := strings.TrimSuffix(string(text), "\n")
		if l.Origin == originDefault {
			assignment = "# " + strings.ReplaceAll(assignment, "\n", "\n# ")
		}
		fmt.Fprintf(s.out, "%-40s # %s\n", assignment, oneLine(l.Origin))
	}
	return nil
}

// all is every flag that can be set from outside of the command line, with its value.
func (s *settings) all(c *kong.Context) (list []configLine) {
	for _, node := range append([]*kong.Node{s.root.Node}, s.root.Children...) {
		for _, flag := range node.Flags {
			if !s.settable(flag) {
				continue
			}
			l := configLine{Command: node.Path(), Flag: flag.Name, Env: s.envs[flag], Origin: originNone}
			switch found, ok := s.of(flag); {
			case onLine(c, flag):
				l.Value, l.Origin = flag.Target.Interface(), originLine
			case ok:
				l.Value, l.Origin = found.value, found.origin
			case flag.HasDefault:
				l.Value, l.Origin = flag.Default, originDefault
			case flag.IsBool():
				l.Value, l.Origin = false, originDefault
			}
			l.Value = typed(flag, l.Value)
			list = append(list, l)
		}
	}
	return list
}

// typed is a value as what it is in TOML: numbers, true and false as such, all else
// as text.
func typed(flag *kong.Flag, value any) any {
	text, ok := value.(string)
	if !ok {
		return value
	}
	target := reflect.New(flag.Target.Type()).Elem()
	scan := kong.Scan().PushTyped(text, kong.FlagValueToken)
	if flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: scan}, target) != nil {
		return value
	}
	switch x := target.Interface().(type) {
	case bool, int, int64, uint64, float64, []string, []int:
		return x
	}
	return value
}

// onLine reports whether a flag stands on the command line.
func onLine(c *kong.Context, flag *kong.Flag) bool {
	for _, path := range c.Path {
		if path.Flag == flag && !path.Resolved {
			return true
		}
	}
	return false
}
