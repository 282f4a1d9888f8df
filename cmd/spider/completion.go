package main

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/spider-go/spider/internal/catalog"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" complete:"enum" help:"bash, zsh or fish."`
}

// Help is what spider completion --help adds.
func (*completionCommand) Help() string {
	return `Prints a script that has the shell complete commands, flags, values, names of
packages in the package directory, and names of a package's tasks, which the package
itself is asked for.

Examples:

    source <(spider completion bash)       # in ~/.bashrc
    source <(spider completion zsh)        # in ~/.zshrc, below compinit
    spider completion fish | source        # in ~/.config/fish/config.fish

Or put what it prints where the shell looks for it, such as
/usr/share/bash-completion/completions/spider.`
}

// Run prints the script.
func (c *completionCommand) Run(s *streams) error {
	_, _ = s.out.Write([]byte(completionScripts[c.Shell]))
	return nil
}

// The scripts ask spider itself, with __complete and the words up to the cursor. It
// answers with a line for each candidate, as the word, a tab and what it is; or with
// one line ":file" or ":dir", where the shell knows better.
var completionScripts = map[string]string{
	"bash": `# bash completion for spider
_spider() {
    local cur words cword line
    COMPREPLY=()
    # Words as spider gets them: bash splits them at = and : too.
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n =: cur words cword
    else
        words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]}
        local i rest=${COMP_LINE:0:COMP_POINT}
        read -ra words <<<"$rest"
        [[ $rest == *[[:space:]] ]] && words+=("")
        cword=$((${#words[@]} - 1)) cur=${words[cword]}
    fi
    local prefix= spider=${words[0]}
    [[ $spider == "~/"* ]] && spider=$HOME/${spider#"~/"}
    [[ $cur == --*=* ]] && prefix=${cur%%=*}=
    while IFS= read -r line; do
        case $line in
        :file) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "${cur#"$prefix"}") ;;
        :dir) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "${cur#"$prefix"}") ;;
        *) line=${line%%$'\t'*}
            # Readline replaces only what stands behind the = of a flag.
            COMPREPLY+=("${line#"$prefix"}")
            [[ $line == *= ]] && compopt -o nospace 2>/dev/null ;;
        esac
    done < <("$spider" __complete "${words[@]:1:cword}" 2>/dev/null)
}
complete -F _spider spider
`,
	"zsh": `#compdef spider
# zsh completion for spider
_spider() {
    local -a plain open lines
    local line word text
    lines=("${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    for line in $lines; do
        case $line in
        :file) compset -P '--*='; _files ;;
        :dir) compset -P '--*='; _files -/ ;;
        ?*)
            word=${line%%$'\t'*} text=${line#*$'\t'}
            word=${word//:/\\:}
            [[ $line == *$'\t'* ]] && word+=":$text"
            if [[ ${line%%$'\t'*} == *= ]]; then open+=("$word"); else plain+=("$word"); fi ;;
        esac
    done
    (( $#open )) && _describe -V spider open -S ''
    (( $#plain )) && _describe -V spider plain
    return 0
}
if [[ $funcstack[1] == _spider ]]; then _spider "$@"; else compdef _spider spider; fi
`,
	"fish": `# fish completion for spider
function __spider_complete
    set -l words (commandline -opc)
    set -l cur (commandline -ct)
    for line in ($words[1] __complete $words[2..] "$cur" 2>/dev/null)
        switch $line
            case :file
                __spider_paths "$cur" __fish_complete_path
            case :dir
                __spider_paths "$cur" __fish_complete_directories
            case '*'
                echo $line
        end
    end
end
# Paths behind the = of a flag, too.
function __spider_paths
    set -l prefix (string match -r -- '^--[^=]*=' $argv[1])
    for path in ($argv[2] (string replace -r -- '^--[^=]*=' '' $argv[1]))
        echo "$prefix$path"
    end
end
complete -c spider -f -a '(__spider_complete)'
`,
}

// completeCommand is what the scripts call.
type completeCommand struct {
	Words []string `arg:"" optional:""`
}

// Run answers with candidates. Whatever goes wrong, there are none.
func (c *completeCommand) Run(s *streams) error {
	words := c.Words
	if len(words) == 0 {
		words = []string{""}
	}
	g := newGrammar(s, commands)
	w := bufio.NewWriter(s.out)
	for _, candidate := range g.complete(words[:len(words)-1], words[len(words)-1]) {
		line := candidate.word
		if candidate.text != "" {
			line += "\t" + candidate.text
		}
		fmt.Fprintln(w, oneLineWithTab(line))
	}
	return w.Flush()
}

// oneLineWithTab keeps a package's words harmless to the shell's lines.
func oneLineWithTab(line string) string {
	word, text, found := strings.Cut(line, "\t")
	if word = oneLine(word); found {
		return word + "\t" + oneLine(text)
	}
	return word
}

// candidate is a word that may stand at the cursor.
type candidate struct{ word, text string }

// Candidates that are the shell's to find.
var (
	anyFile = []candidate{{word: ":file"}}
	anyDir  = []candidate{{word: ":dir"}}
)

// complete finds what may follow the words before the cursor, where current stands.
func (g *grammar) complete(before []string, current string) []candidate {
	l := line{node: g.parser.Model.Node, given: map[string]string{}}
	for _, word := range before {
		l.take(word)
	}
	if l.lost {
		return nil
	}
	if l.flag != nil {
		return matching(g.values(&l, l.flag.Value, current), current)
	}
	if name, value, ok := strings.Cut(current, "="); ok && strings.HasPrefix(name, "--") && l.flagsAllowed() {
		flag := l.find(name)
		if flag == nil {
			return nil
		}
		values := g.values(&l, flag.Value, value)
		for i := range values {
			if !strings.HasPrefix(values[i].word, ":") {
				values[i].word = name + "=" + values[i].word
			}
		}
		return matching(values, current)
	}
	if strings.HasPrefix(current, "-") && l.flagsAllowed() {
		return matching(l.flags(), current)
	}
	if len(l.node.Children) > 0 {
		var commands []candidate
		for _, child := range l.node.Children {
			if !child.Hidden {
				commands = append(commands, candidate{child.Name, child.Help})
			}
		}
		return matching(commands, current)
	}
	if arg := l.positional(); arg != nil {
		return matching(g.values(&l, arg, current), current)
	}
	return nil
}

// matching are those that begin as current does.
func matching(list []candidate, current string) []candidate {
	return slices.DeleteFunc(list, func(c candidate) bool {
		return !strings.HasPrefix(c.word, ":") && !strings.HasPrefix(c.word, current)
	})
}

// line is what stands before the cursor, understood without complaint.
type line struct {
	node  *kong.Node        // the command so far
	args  []string          // its positional arguments
	given map[string]string // values of flags, by name
	flag  *kong.Flag        // the last word, if it is one that lacks its value
	ended bool              // by --
	lost  bool              // there is no such command
}

func (l *line) take(word string) {
	switch {
	case l.flag != nil:
		l.given[l.flag.Name], l.flag = word, nil
	case word == "--" && l.flagsAllowed():
		l.ended = true
	case strings.HasPrefix(word, "-") && word != "-" && l.flagsAllowed():
		name, value, hasValue := strings.Cut(word, "=")
		flag := l.find(name)
		switch {
		case flag == nil:
		case hasValue:
			l.given[flag.Name] = value
		case !flag.IsBool() && !flag.IsCounter():
			l.flag = flag
		}
	case len(l.node.Children) > 0:
		for _, child := range l.node.Children {
			if child.Name == word {
				l.node = child
				return
			}
		}
		l.lost = true
	default:
		l.args = append(l.args, word)
	}
}

// flagsAllowed is false behind -- and behind what takes all that follows, such as a
// task's name.
func (l *line) flagsAllowed() bool {
	if l.ended {
		return false
	}
	for i, arg := range l.node.Positional {
		if i < len(l.args) && arg.PassthroughMode != kong.PassThroughModeNone {
			return false
		}
	}
	return true
}

func (l *line) all() []*kong.Flag {
	flags := slices.Clone(l.node.Flags)
	for parent := l.node.Parent; parent != nil; parent = parent.Parent {
		flags = append(flags, parent.Flags...)
	}
	return flags
}

func (l *line) find(name string) *kong.Flag {
	for _, flag := range l.all() {
		if name == "--"+flag.Name || flag.Short != 0 && name == "-"+string(flag.Short) {
			return flag
		}
	}
	return nil
}

func (l *line) flags() (list []candidate) {
	for _, flag := range l.all() {
		if flag.Hidden {
			continue
		}
		word := "--" + flag.Name
		if !flag.IsBool() && !flag.IsCounter() {
			word += "="
		}
		text, _, _ := strings.Cut(flag.Help, ". ")
		list = append(list, candidate{word, strings.TrimSuffix(text, ".")})
		if no := flag.Tag.Negatable; no == "_" {
			list = append(list, candidate{"--no-" + flag.Name, ""})
		} else if no != "" {
			list = append(list, candidate{"--" + no, ""})
		}
	}
	return list
}

// positional is the argument that the next word is for.
func (l *line) positional() *kong.Positional {
	n := len(l.args)
	if last := len(l.node.Positional) - 1; last >= 0 && n >= last && l.node.Positional[last].IsCumulative() {
		n = last
	}
	if n >= len(l.node.Positional) {
		return nil
	}
	return l.node.Positional[n]
}

// values are what a flag or argument may be. The tag complete says it: package, task,
// file, dir, executor, topic. Where there is no tag, an argument's name does.
func (g *grammar) values(l *line, v *kong.Value, current string) (list []candidate) {
	if v.Enum != "" {
		for _, value := range v.EnumSlice() {
			list = append(list, candidate{word: value})
		}
		return list
	}
	kind := v.Tag.Get("complete")
	if kind == "" && v.Flag == nil {
		kind = v.Name
	}
	if kind == "" {
		switch v.Tag.PlaceHolder {
		case "DIR":
			kind = "dir"
		case "FILE", "PATH":
			kind = "file"
		}
	}
	switch kind {
	case "file":
		return anyFile
	case "dir":
		return anyDir
	case "package":
		entries, _ := catalog.List(g.places(l).dir())
		for _, e := range entries {
			if e.Usable() {
				list = append(list, candidate{word: e.Name})
			}
		}
		if strings.ContainsRune(current, '/') {
			return anyFile // a command may take a library's path, too
		}
	case "task":
		return g.tasks(l)
	case "topic":
		for _, topic := range topics {
			list = append(list, candidate{topic.name, topic.title})
		}
		for _, command := range g.parser.Model.Children {
			if !command.Hidden {
				list = append(list, candidate{command.Name, command.Help})
			}
		}
	}
	return list
}

// completePatience is how long a person who pressed tab waits for a package.
const completePatience = time.Second

// tasks are those of the package that is named before.
func (g *grammar) tasks(l *line) (list []candidate) {
	name := ""
	for i, arg := range l.node.Positional {
		if i < len(l.args) && cmp.Or(arg.Tag.Get("complete"), arg.Name) == "package" {
			name = l.args[i]
		}
	}
	if name == "" {
		return nil
	}
	p := g.places(l)
	executor, dir, _ := p.find()
	d := describe(catalog.Source{Dir: dir, Executor: executor, PreferLibrary: p.Executor != "", Timeout: completePatience}, name)
	defer d.stop()
	<-d.done
	if d.description == nil {
		return nil
	}
	for _, task := range d.description.Tasks {
		var params []string
		for _, param := range task.Params {
			params = append(params, strings.TrimPrefix(param.Name+": "+param.Type, ": "))
		}
		list = append(list, candidate{task.Name, "(" + strings.Join(params, ", ") + ")"})
	}
	return list
}

// places are where the line says that packages and executor are, or what the
// environment and the configuration say.
func (g *grammar) places(l *line) *places {
	p := &places{PackageDir: l.given["package-dir"], Executor: l.given["executor"]}
	_ = g.settings.readAll(cmp.Or(l.given["config"], g.settings.early("config", nil)))
	for _, flag := range l.node.Flags {
		found, ok := g.settings.of(flag)
		if !ok {
			continue
		}
		switch flag.Name {
		case "package-dir":
			p.PackageDir = cmp.Or(p.PackageDir, fmt.Sprint(found.value))
		case "executor":
			p.Executor = cmp.Or(p.Executor, fmt.Sprint(found.value))
		}
	}
	return p
}
