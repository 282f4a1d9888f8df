package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/alecthomas/kong"
)

type manCommand struct {
	Dir string `arg:"" complete:"dir" help:"Where to write spider.1 and a page for each command."`
}

// Help is what spider man --help adds.
func (*manCommand) Help() string {
	return `Example:

    spider man /usr/local/share/man/man1`
}

// Run writes the pages.
func (c *manCommand) Run(s *streams) error {
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return &outputError{err}
	}
	for name, page := range manPages(newGrammar(s, commands)) {
		if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(page), 0o644); err != nil {
			return &outputError{err}
		}
	}
	return nil
}

// manPages are the pages by file name, in the man macros.
func manPages(g *grammar) map[string]string {
	pages := map[string]string{"spider.1": mainPage(g)}
	for _, command := range g.parser.Model.Children {
		if !command.Hidden {
			pages["spider-"+command.Name+".1"] = commandPage(g, command)
		}
	}
	return pages
}

// roff writes a page.
type roff struct{ strings.Builder }

// escape makes text that means itself. Dashes and quotes are to be copied into a shell.
var escape = strings.NewReplacer(`\`, `\(rs`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "~", `\(ti`, "^", `\(ha`)

// text writes lines of running text.
func (r *roff) text(text string) {
	for line := range strings.Lines(text) {
		line = escape.Replace(strings.TrimRight(line, "\n"))
		if strings.HasPrefix(line, ".") {
			line = `\&` + line
		}
		fmt.Fprintln(r, line)
	}
}

func (r *roff) head(name string) {
	v := thisVersion()
	date, _, _ := strings.Cut(v.Time, "T")
	// No hyphens in names of variables, which are to be copied.
	fmt.Fprintf(r, ".TH %s 1 \"%s\" \"spider %s\" \"Spider\"\n.nh\n.ad l\n", escape.Replace(strings.ToUpper(name)), date, escape.Replace(v.Version))
}

func (r *roff) section(title string) { fmt.Fprintf(r, ".SH %s\n", strings.ToUpper(title)) }

// item is a term and what it means.
func (r *roff) item(term, meaning string) {
	fmt.Fprintf(r, ".TP\n.B %s\n", escape.Replace(term))
	r.text(meaning + "\n")
}

// prose writes text in the form of a command's Help: paragraphs, and examples, which
// are indented.
func (r *roff) prose(text string) {
	first := true
	for _, block := range strings.Split(strings.Trim(text, "\n"), "\n\n") {
		if strings.HasPrefix(block, " ") {
			fmt.Fprint(r, ".PP\n.RS 4\n.EX\n")
			for line := range strings.Lines(block) {
				r.text(strings.TrimPrefix(line, "    "))
			}
			fmt.Fprint(r, "\n.EE\n.RE\n")
		} else {
			if !first {
				fmt.Fprintln(r, ".PP")
			}
			r.text(block + "\n")
		}
		first = false
	}
}

// flags lists the flags of one node.
func (r *roff) flags(g *grammar, flags []*kong.Flag) {
	for _, flag := range flags {
		if flag.Hidden {
			continue
		}
		r.item(flagTerm(flag), g.settings.help(flag.Value))
	}
}

// flagTerm is a flag with its other forms and its value.
func flagTerm(flag *kong.Flag) string {
	term := "--" + flag.Name
	if !flag.IsBool() && !flag.IsCounter() {
		term += "=" + flag.FormatPlaceHolder()
	}
	switch no := flag.Tag.Negatable; no {
	case "":
	case "_":
		term += ", --no-" + flag.Name
	default:
		term += ", --" + no
	}
	if flag.Short != 0 {
		term = "-" + string(flag.Short) + ", " + term
	}
	return term
}

func mainPage(g *grammar) string {
	var r roff
	model := g.parser.Model
	summary, detail, _ := strings.Cut(model.Help, "\n")
	r.head("spider")
	r.section("Name")
	r.text("spider - " + strings.ToLower(strings.TrimSuffix(summary, ".")) + "\n")
	r.section("Synopsis")
	fmt.Fprintln(&r, ".B spider\n.I command\n[flags]\n.RI [ arguments ]")
	r.section("Description")
	r.prose(detail)
	r.section("Commands")
	for _, command := range model.Children {
		if !command.Hidden {
			r.item("spider "+command.Name, command.Help)
		}
	}
	r.section("Flags of every command")
	r.flags(g, model.Flags)
	for _, topic := range topics {
		r.section(topic.title)
		topic.man(&r)
	}
	r.section("See also")
	var also []string
	for _, command := range model.Children {
		if !command.Hidden {
			also = append(also, ".BR "+escape.Replace("spider-"+command.Name)+" (1)")
		}
	}
	fmt.Fprintln(&r, strings.Join(also, ",\n"))
	return r.String()
}

func commandPage(g *grammar, command *kong.Node) string {
	var r roff
	r.head("spider-" + command.Name)
	r.section("Name")
	name := strings.TrimSuffix(command.Help, ".")
	r.text("spider-" + command.Name + " - " + strings.ToLower(name[:1]) + name[1:] + "\n")
	r.section("Synopsis")
	usage := "[flags]"
	for _, arg := range command.Positional {
		usage += " " + arg.Summary()
	}
	fmt.Fprintf(&r, ".B spider %s\n", escape.Replace(command.Name))
	r.text(usage + "\n")
	if command.Detail != "" {
		r.section("Description")
		r.prose(command.Detail)
	}
	if len(command.Positional) > 0 {
		r.section("Arguments")
		for _, arg := range command.Positional {
			r.item(arg.Summary(), g.settings.help(arg))
		}
	}
	if len(command.Flags) > 0 {
		r.section("Flags")
		r.flags(g, command.Flags)
	}
	r.section("Flags of every command")
	r.flags(g, g.parser.Model.Flags)
	r.section("Exit status")
	manStatuses(&r)
	r.section("See also")
	fmt.Fprintln(&r, ".BR spider (1)")
	return r.String()
}

func manStatuses(r *roff) {
	for _, s := range exitStatuses {
		r.item(s.status, strings.ReplaceAll(s.meaning, "`", ""))
	}
}
