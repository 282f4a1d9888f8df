package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/spider-go/spider/internal/bench"
	"github.com/spider-go/spider/internal/catalog"
)

const description = `Run tasks of native packages.

Example: spider run arith add 2 3`

// grammar is the command line's, made anew for each parse.
type grammar struct {
	globals  *globals
	parser   *kong.Kong
	settings *settings

	exited bool // by --help or --version
}

// newGrammar is the grammar of some of the commands, or of them all. That of all takes
// longer to make than many a task runs.
func newGrammar(s *streams, list []command) *grammar {
	g := &grammar{globals: &globals{}, settings: newSettings()}
	g.settings.whole = func() *settings {
		if len(list) == len(commands) {
			return g.settings
		}
		return newGrammar(s, commands).settings
	}
	options := []kong.Option{
		kong.Name("spider"),
		kong.Description(description),
		kong.Writers(s.out, s.err),
		// Kong expects exit not to return. It does no harm that it does here, as
		// long as nothing runs after it.
		kong.Exit(func(int) { g.exited = true }),
		kong.Help(func(o kong.HelpOptions, c *kong.Context) error { return g.printHelp(s, o, c) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 80}),
		kong.ValueFormatter(g.settings.help),
		kong.ExplicitGroups([]kong.Group{{Key: commonGroup, Title: commonTitle}}),
		kong.Vars{"default_package_dir": defaultPackageDir, "output_dir_variable": bench.EnvOutputDir},
		kong.PostBuild(g.settings.learn),
		kong.WithBeforeResolve(g.settings.load),
		kong.Resolvers(g.settings),
		kong.Bind(s, g.settings),
	}
	for _, c := range list {
		tags := c.tags
		if c.hidden {
			tags = append(slices.Clone(tags), `hidden:""`)
		}
		options = append(options, kong.DynamicCommand(c.name, c.help, "", c.fresh(), tags...))
	}
	var err error
	g.parser, err = kong.New(g.globals, options...)
	if err != nil {
		panic(err) // the grammar itself is wrong
	}
	return g
}

// commonGroup is the group of the flags in globals.
const (
	commonGroup = "common"
	commonTitle = "Flags of every command:"
)

// dispatch parses the command line and runs the command.
func dispatch(args []string, s *streams) error {
	g := newGrammar(s, called(args))
	s.color = g.settings.early("color", args)
	parsed, err := g.parser.Parse(args)
	switch {
	case g.exited, s.out.err != nil: // by --help
		return s.out.err
	case err != nil:
		return g.wrongUsage(err)
	}
	s.color = g.globals.Color
	s.logAt(g.globals.LogLevel)
	return g.settings.blame(parsed.Run(s))
}

// called are the commands that the grammar needs for args: the one that they begin with,
// else all.
func called(args []string) []command {
	for i, c := range commands {
		// The configuration is that of all commands.
		if len(args) > 0 && args[0] == c.name && c.name != "config" {
			return commands[i : i+1]
		}
	}
	return commands
}

// commandNames are those that people are told of.
func commandNames() (names []string) {
	for _, c := range commands {
		if !c.hidden {
			names = append(names, c.name)
		}
	}
	return names
}

// wrongUsage is what kong has to say, with better hints.
func (g *grammar) wrongUsage(err error) error {
	var own *usageError
	if errors.As(err, &own) {
		return own
	}
	text, _, _ := strings.Cut(err.Error(), ", did you mean")
	var candidates []string
	var unknown string
	if name, ok := strings.CutPrefix(text, "unknown flag "); ok {
		var parse *kong.ParseError
		if unknown = name; errors.As(err, &parse) && parse.Context != nil {
			for _, flag := range parse.Context.Flags() {
				if !flag.Hidden {
					candidates = append(candidates, "--"+flag.Name)
				}
			}
		}
	} else if name, ok := strings.CutPrefix(text, "unexpected argument "); ok {
		unknown, candidates = name, commandNames()
	}
	hint := "see spider --help"
	if guess := catalog.Closest(unknown, candidates); guess != "" {
		hint = "did you mean " + guess + "?"
	}
	return g.settings.blame(&usageError{fmt.Sprintf("%s (%s)", text, hint)})
}

// printHelp is kong's, but for the usage line of a command (kong has the flags last,
// where they would be the task's arguments), for the headings, and for the exit
// statuses below the help of spider itself.
func (g *grammar) printHelp(s *streams, o kong.HelpOptions, c *kong.Context) error {
	var text bytes.Buffer
	out := c.Stdout
	c.Stdout = &text
	command := c.Selected()
	if command != nil {
		o.NoAppSummary = true
		usage := "Usage: " + command.FullPath() + " [flags]"
		for _, arg := range command.Positional {
			usage += " " + arg.Summary()
		}
		fmt.Fprintln(&text, usage)
	}
	if err := kong.DefaultHelpPrinter(o, c); err != nil {
		return err
	}
	if command == nil {
		fmt.Fprintf(&text, "\nExit status:\n%s", indent(statusTable(80-2)))
	}
	c.Stdout = out
	st := styleOf(g.color(s, c), s.out.w)
	for line := range strings.Lines(text.String()) {
		if heading := strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, " ") && strings.HasSuffix(heading, ":") {
			line = st.bold(heading) + "\n"
		}
		if _, err := io.WriteString(out, line); err != nil {
			return err
		}
	}
	return nil
}

// color is --color as far as it is known to c, which may be incomplete.
func (g *grammar) color(s *streams, c *kong.Context) string {
	if s.color == "" && g.settings.load(c) == nil {
		for _, flag := range c.Model.Flags {
			if flag.Name == "color" {
				if found, ok := g.settings.of(flag); ok {
					return fmt.Sprint(found.value)
				}
			}
		}
	}
	return s.color
}

func indent(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString("  " + line)
	}
	return b.String()
}
