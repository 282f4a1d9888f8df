package main

import (
	"fmt"
	"slices"

	"github.com/spider-go/spider/internal/catalog"
)

// topics are what spider help explains beside the commands. The manual pages have
// them too.
var topics = []struct {
	name, title string
	text        func() string // at most 80 characters wide
	man         func(*roff)
}{
	{"statuses", "Exit status", func() string { return statusTable(80) }, manStatuses},
	{"configuration", "Configuration", func() string { return configurationHelp }, func(r *roff) { r.prose(configurationHelp) }},
}

const configurationHelp = `Each flag has its value from the first of these that gives it one:

    1. the command line
    2. its variable in the environment, which --help shows; empty is not set
    3. .spider.toml in the working directory
    4. $XDG_CONFIG_HOME/spider/config.toml, or ~/.config/spider/config.toml
    5. its default

--config FILE, or $SPIDER_CONFIG, takes the place of both files; /dev/null is none.
A .spider.toml that belongs to another user is refused unless it is named so.

A file is TOML. A key is a flag's name; at the top it is for every command that has
the flag, in a section for that command, which is stronger:

    package-dir = "/srv/packages"
    color = "never"
    [run]
    timeout = "30s"

A key that is no flag is an error. Paths are relative to the working directory.
spider config prints all values, and where each is from.
`

type helpCommand struct {
	Topic string `arg:"" optional:"" complete:"topic" help:"A command, or one of: statuses, configuration."`
}

// Help is what spider help --help adds.
func (*helpCommand) Help() string {
	return `Example:

    spider help statuses`
}

// Run explains the topic, or what spider is.
func (c *helpCommand) Run(s *streams) error {
	for _, topic := range topics {
		if topic.name == c.Topic {
			fmt.Fprint(s.out, topic.text())
			return nil
		}
	}
	if c.Topic == "" {
		return dispatch([]string{"--help"}, s)
	}
	names := commandNames()
	for _, command := range commands {
		if command.name == c.Topic {
			return dispatch([]string{c.Topic, "--help"}, s)
		}
	}
	for _, topic := range topics {
		names = append(names, topic.name)
	}
	hint := "see spider --help"
	if guess := catalog.Closest(c.Topic, names); guess != "" {
		hint = "did you mean " + guess + "?"
	}
	slices.Sort(names)
	return &usageError{fmt.Sprintf("there is no help on %s (%s)", c.Topic, hint)}
}
