package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/spider-go/spider/internal/catalog"
)

// settings are the values that flags have when the command line does not say. Kong
// asks them, as its resolver; of itself it would take a file's word over the
// environment's.
type settings struct {
	// whole has the flags of all commands; itself, if it has.
	whole func() *settings

	root     *kong.Application
	commands map[*kong.Flag]*kong.Node // whose flag it is
	envs     map[*kong.Flag]string     // its variable

	loaded bool
	files  []*configFile // the stronger one first
	used   map[*kong.Flag]setting
}

// setting is a value and where it is from.
type setting struct {
	value  any    // as kong's scanner takes it: a string, or a list
	origin string // a variable's name, or a file and line
}

const (
	// projectConfig is looked for in the working directory only: in one above it,
	// it would say what runs to people who never saw it.
	projectConfig = ".spider.toml"

	// maxConfig bounds what is read of a file, in bytes.
	maxConfig = 1 << 20
)

func newSettings() *settings {
	return &settings{
		commands: map[*kong.Flag]*kong.Node{},
		envs:     map[*kong.Flag]string{},
		used:     map[*kong.Flag]setting{},
	}
}

// learn is told the grammar, and gives each flag that has no variable yet
// SPIDER_FLAG or SPIDER_COMMAND_FLAG.
func (s *settings) learn(k *kong.Kong) error {
	s.root = k.Model
	k.Model.HelpFlag.Group = &kong.Group{Key: commonGroup, Title: commonTitle}
	for _, node := range append([]*kong.Node{k.Model.Node}, k.Model.Children...) {
		for _, flag := range node.Flags {
			s.commands[flag] = node
			if flag == k.Model.HelpFlag || flag.Name == "version" {
				continue
			}
			name := "SPIDER_" + strings.ToUpper(strings.NewReplacer("-", "_", " ", "_").Replace(strings.TrimSpace(node.Path()+" "+flag.Name)))
			if len(flag.Tag.Envs) > 0 {
				name = flag.Tag.Envs[0]
			}
			s.envs[flag] = name
			flag.Tag.Envs = nil // else kong would look there itself
		}
	}
	return nil
}

// help is the help of a flag or argument, with its variable.
func (s *settings) help(v *kong.Value) string {
	env := s.envs[v.Flag]
	if v.Flag == nil || env == "" {
		return v.Help
	}
	return strings.TrimSpace(v.Help + " ($" + env + ")")
}

// early is a flag of every command before the command line has been understood, for
// what is said about one that cannot be.
func (s *settings) early(name string, args []string) string {
	for i, arg := range args {
		if value, ok := strings.CutPrefix(arg, "--"+name+"="); ok {
			return value
		}
		if arg == "--"+name && i+1 < len(args) {
			return args[i+1]
		}
	}
	for _, flag := range s.root.Flags {
		if flag.Name == name {
			return os.Getenv(s.envs[flag])
		}
	}
	return ""
}

// load reads the files, and checks them and the variables of the command that is
// about to run. An error is a *usageError.
func (s *settings) load(c *kong.Context) error {
	if s.loaded {
		return nil
	}
	s.loaded = true
	if err := s.readAll(s.named(c)); err != nil {
		return err
	}
	if len(s.files) > 0 {
		whole := s.whole()
		for _, file := range s.files {
			if err := whole.check(file); err != nil {
				return err
			}
		}
	}
	for _, flag := range c.Flags() {
		value := os.Getenv(s.envs[flag])
		if value == "" {
			continue
		}
		if err := fits(flag, value); err != nil {
			return &usageError{fmt.Sprintf("$%s: %v", s.envs[flag], err)}
		}
	}
	return nil
}

// named is the file that --config or its variable names, "" if none.
func (s *settings) named(c *kong.Context) string {
	for _, flag := range s.root.Flags {
		if flag.Name != "config" {
			continue
		}
		for _, path := range c.Path {
			if path.Flag == flag {
				return fmt.Sprint(c.FlagValue(flag))
			}
		}
		return os.Getenv(s.envs[flag])
	}
	return ""
}

func (s *settings) readAll(named string) error {
	if named != "" {
		file, err := readConfig(named, true)
		if err != nil {
			return &usageError{fmt.Sprintf("cannot read the configuration: %v", err)}
		}
		return s.add(file, err)
	}
	file, err := readConfig(projectConfig, false)
	if err == nil && !file.trusted {
		return &usageError{fmt.Sprintf("%s belongs to another user, and could have anything run; if you trust it: --config %[1]s; else leave the folder, or --config /dev/null", projectConfig)}
	}
	if err := s.add(file, err); err != nil {
		return err
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return nil // there is no home, so nothing is in it
	}
	return s.add(readConfig(filepath.Join(dir, "spider", "config.toml"), false))
}

// add adds a file that was read. That there is none is no error.
func (s *settings) add(file *configFile, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	if err != nil {
		var wrong *usageError
		if errors.As(err, &wrong) {
			return wrong
		}
		return &usageError{fmt.Sprintf("cannot read the configuration: %v", err)}
	}
	s.files = append(s.files, file)
	return nil
}

// configFile is one file, of the form
//
//	flag = value     # for every command that has the flag
//	[command]
//	flag = value     # for this one
type configFile struct {
	path    string
	trusted bool // it is the user's own, or root's
	values  map[string]any
	lines   map[string]int // of each key, by its dotted path
}

func (f *configFile) at(keys ...string) string {
	key := strings.Join(keys, ".")
	if line := f.lines[key]; line > 0 {
		return fmt.Sprintf("%s:%d", f.path, line)
	}
	return f.path
}

// value is the flag's in a section, or at the top for "".
func (f *configFile) value(section, flag string) (value any, origin string, ok bool) {
	if section == "" {
		value, ok = f.values[flag]
		return value, f.at(flag), ok
	}
	keys, _ := f.values[section].(map[string]any)
	value, ok = keys[flag]
	return value, f.at(section, flag), ok
}

// readConfig reads one file, which the user has named, or which was found. The error is a *usageError if it is no TOML.
func readConfig(path string, named bool) (*configFile, error) {
	how := os.O_RDONLY
	if !named {
		// Whoever may write in the working directory may have left something there that
		// would be waited for.
		how |= syscall.O_NONBLOCK
	}
	file, err := os.OpenFile(path, how, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !named && !info.Mode().IsRegular() && !info.IsDir() {
		return nil, &usageError{path + " is no regular file, so no configuration"}
	}
	text, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxConfig {
		return nil, &usageError{fmt.Sprintf("%s: over %d bytes, which is no configuration", path, maxConfig)}
	}
	f := &configFile{path: path, trusted: true, lines: map[string]int{}}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		f.trusted = stat.Uid == 0 || int(stat.Uid) == os.Getuid()
	}
	if err := toml.Unmarshal(text, &f.values); err != nil {
		var wrong *toml.DecodeError
		if errors.As(err, &wrong) {
			line, _ := wrong.Position()
			return nil, &usageError{fmt.Sprintf("%s:%d: %s", path, line, strings.TrimPrefix(wrong.Error(), "toml: "))}
		}
		return nil, &usageError{fmt.Sprintf("%s: %v", path, err)}
	}
	f.findLines(text)
	return f, nil
}

// findLines fills in lines, of a text that is known to be TOML.
func (f *configFile) findLines(text []byte) {
	var p unstable.Parser
	p.Reset(text)
	var table []string
	for p.NextExpression() {
		e := p.Expression()
		if e.Kind != unstable.KeyValue && e.Kind != unstable.Table && e.Kind != unstable.ArrayTable {
			continue
		}
		var keys []string
		line := 0
		for it := e.Key(); it.Next(); {
			keys = append(keys, string(it.Node().Data))
			line = p.Shape(it.Node().Raw).Start.Line
		}
		if e.Kind != unstable.KeyValue {
			table = keys
		} else {
			keys = append(slices.Clone(table), keys...)
		}
		for i := range keys { // a dotted key makes the tables it goes through
			if key := strings.Join(keys[:i+1], "."); f.lines[key] == 0 {
				f.lines[key] = line
			}
		}
	}
}

// check looks at all that a file says, also to other commands than the one that runs.
func (s *settings) check(f *configFile) error {
	sections := map[string]*kong.Node{}
	anywhere := map[string][]*kong.Flag{}
	for flag, node := range s.commands {
		if s.settable(flag) {
			sections[node.Path()] = node
			anywhere[flag.Name] = append(anywhere[flag.Name], flag)
		}
	}
	delete(sections, "")
	for _, key := range slices.Sorted(maps.Keys(f.values)) {
		value := f.values[key]
		keys, isSection := value.(map[string]any)
		node := sections[key]
		switch {
		case isSection && node == nil:
			return f.unknown("there is no command", slices.Collect(maps.Keys(sections)), key)
		case !isSection && anywhere[key] == nil:
			return f.unknown("no command has a flag", slices.Collect(maps.Keys(anywhere)), key)
		case !isSection:
			for _, flag := range anywhere[key] {
				if err := fits(flag, value); err != nil {
					return &usageError{fmt.Sprintf("%s: %s: %v", f.at(key), key, err)}
				}
			}
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(keys)) {
			var flags []string
			var found *kong.Flag
			for _, flag := range node.Flags {
				if !s.settable(flag) {
					continue
				}
				flags = append(flags, flag.Name)
				switch name {
				case flag.Name:
					found = flag
				case flag.Tag.Negatable:
					return &usageError{fmt.Sprintf("%s: %s in [%s] is written as %s = false", f.at(key, name), name, key, flag.Name)}
				}
			}
			if found == nil {
				return f.unknown("spider "+key+" has no flag", flags, key, name)
			}
			if err := fits(found, keys[name]); err != nil {
				return &usageError{fmt.Sprintf("%s: %s in [%s]: %v", f.at(key, name), name, key, err)}
			}
		}
	}
	return nil
}

// unknown is the error for a key that stands for nothing.
func (f *configFile) unknown(what string, known []string, keys ...string) error {
	name := keys[len(keys)-1]
	text := fmt.Sprintf("%s: %s %s", f.at(keys...), what, name)
	if guess := catalog.Closest(name, known); guess != "" {
		text += "; did you mean " + guess + "?"
	}
	return &usageError{text}
}

// settable reports whether a flag may stand in a file.
func (s *settings) settable(flag *kong.Flag) bool {
	return s.envs[flag] != "" && flag.Name != "config" && !flag.Hidden && !s.commands[flag].Hidden
}

// fits reports what is wrong with a value of a flag, without setting it.
func fits(flag *kong.Flag, value any) error {
	value, err := scannable(flag, value)
	if err != nil {
		return err
	}
	target := reflect.New(flag.Target.Type()).Elem()
	if err := flag.Mapper.Decode(&kong.DecodeContext{
		Value: flag.Value,
		Scan:  kong.Scan().PushTyped(value, kong.FlagValueToken),
	}, target); err != nil {
		return err
	}
	if flag.Enum != "" && !flag.IsSlice() && !flag.EnumMap()[fmt.Sprint(target.Interface())] {
		return fmt.Errorf("must be one of %s, not %q", strings.Join(flag.EnumSlice(), ", "), fmt.Sprint(target.Interface()))
	}
	return nil
}

// scannable is a TOML value as kong's scanner takes it.
func scannable(flag *kong.Flag, value any) (any, error) {
	switch v := value.(type) {
	case []any:
		if !flag.IsSlice() {
			return nil, errors.New("is one value, not a list")
		}
		return v, nil
	case string, bool, int64, float64:
		return fmt.Sprint(v), nil
	}
	return nil, errors.New("is neither text, a number, true or false, nor a list of them")
}

// of is the value that a flag has from the environment or a file.
func (s *settings) of(flag *kong.Flag) (setting, bool) {
	if env := s.envs[flag]; env != "" {
		if value := os.Getenv(env); value != "" {
			return setting{value, "$" + env}, true
		}
	}
	if !s.settable(flag) {
		return setting{}, false
	}
	for _, file := range s.files {
		for _, section := range []string{s.commands[flag].Path(), ""} {
			value, origin, ok := file.value(section, flag.Name)
			if !ok {
				continue
			}
			if value, err := scannable(flag, value); err == nil {
				return setting{value, origin}, true
			}
		}
	}
	return setting{}, false
}

// Resolve is called by kong for each flag that is not on the command line.
func (s *settings) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	found, ok := s.of(flag)
	if !ok {
		return nil, nil
	}
	s.used[flag] = found
	return found.value, nil
}

// Validate is called by kong.
func (s *settings) Validate(*kong.Application) error { return nil }

// blame adds to a *usageError about a flag where the flag's value is from, unless it
// is the command line.
func (s *settings) blame(err error) error {
	var usage *usageError
	if !errors.As(err, &usage) {
		return err
	}
	for flag, used := range s.used {
		_, after, found := strings.Cut(usage.message, "--"+flag.Name)
		if found && !strings.HasPrefix(after, "-") {
			return &usageError{usage.message + "; it is set by " + used.origin}
		}
	}
	return err
}
