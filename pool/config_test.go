package pool

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := Config{PackageDir: "d"}.complete()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Executors != runtime.NumCPU() || cfg.Spares != 1 || cfg.StartTimeout != 10*time.Second || cfg.LoadTimeout != 30*time.Second {
		t.Errorf("%+v", cfg)
	}
	if cfg.Timeout != 0 || cfg.SoftTimeout != 0 || cfg.MaxTasks != 0 || cfg.MaxAge != 0 || cfg.MaxGrowth != 0 {
		t.Errorf("limits that nobody set: %+v", cfg)
	}
	if cfg, err := (Config{PackageDir: "d", Spares: -3}).complete(); err != nil || cfg.Spares != 0 {
		t.Errorf("%d spares, %v", cfg.Spares, err)
	}
	given := Config{PackageDir: "d", Executor: "e", Executors: 3, Spares: 2, Timeout: 5, SoftTimeout: 4, SoftSignal: 3, StartTimeout: 6,
		LoadTimeout: 7, MaxTasks: 8, MaxAge: 9, MaxGrowth: 10, MaxFrame: 11, StderrLines: 12, Preload: []string{"p"}, EnvAllow: []string{"A*", "*"}}
	cfg, err = given.complete()
	if err != nil || cfg.Executors != 3 || cfg.Spares != 2 || cfg.StartTimeout != 6 || cfg.LoadTimeout != 7 {
		t.Errorf("%+v, %v", cfg, err)
	}
}

// Each fault is told, and all of them at once.
func TestConfigFaults(t *testing.T) {
	t.Parallel()
	type broken struct {
		fault  string // the beginning of what is said
		breaks func(*Config)
	}
	all := []broken{
		{"PackageDir is required", func(c *Config) { c.PackageDir = "" }},
		{"Executors is negative", func(c *Config) { c.Executors = -1 }},
		{"Timeout is negative", func(c *Config) { c.Timeout = -1 }},
		{"SoftTimeout is negative", func(c *Config) { c.SoftTimeout = -1 }},
		{"StartTimeout is negative", func(c *Config) { c.StartTimeout = -1 }},
		{"LoadTimeout is negative", func(c *Config) { c.LoadTimeout = -1 }},
		{"MaxTasks is negative", func(c *Config) { c.MaxTasks = -1 }},
		{"MaxAge is negative", func(c *Config) { c.MaxAge = -1 }},
		{"MaxGrowth is negative", func(c *Config) { c.MaxGrowth = -1 }},
		{"MaxFrame is negative", func(c *Config) { c.MaxFrame = -1 }},
		{"StderrLines is negative", func(c *Config) { c.StderrLines = -1 }},
		{"SoftSignal 65 is no signal", func(c *Config) { c.SoftSignal, c.SoftTimeout = 65, max(c.SoftTimeout, 1) }},
		{`Preload[1]: the name "a/b"`, func(c *Config) { c.Preload = []string{"fine", "a/b", ""} }},
		{`Preload[2]: the name ""`, func(c *Config) { c.Preload = []string{"fine", "a/b", ""} }},
		{`Preload[0]: the name ".."`, func(c *Config) { c.Preload = []string{".."} }},
		{`Env[1] "novalue"`, func(c *Config) { c.Env = []string{"A=", "novalue"} }},
		{`Env[0] "=x"`, func(c *Config) { c.Env = []string{"=x"} }},
		{`EnvAllow[0]: "A=1"`, func(c *Config) { c.EnvAllow = []string{"A=1"} }},
		{`EnvAllow[1]: ""`, func(c *Config) { c.EnvAllow = []string{"B", ""} }},
		{"Env and EnvAllow are both set", func(c *Config) { c.Env, c.EnvAllow = []string{}, []string{} }},
		{"SoftSignal is set without SoftTimeout", func(c *Config) { c.SoftSignal = 3 }},
		{"SoftTimeout 2s is not below Timeout 1s", func(c *Config) { c.Timeout, c.SoftTimeout = time.Second, 2*time.Second }},
		{"SoftTimeout 1s is not below Timeout 1s", func(c *Config) { c.Timeout, c.SoftTimeout = time.Second, time.Second }},
		{"Limits.CPU is negative", func(c *Config) { c.Limits.CPU = -1 }},
		{"Limits.Memory is negative", func(c *Config) { c.Limits.Memory = -1 }},
		{"Limits.Nice 20 ", func(c *Config) { c.Limits.Nice = 20 }},
	}
	faultsOf := func(cfg Config) []string {
		p, err := New(cfg)
		var wrong *ConfigError
		if p != nil || !errors.As(err, &wrong) {
			t.Fatalf("%v, %T: %v", p, err, err)
		}
		for _, fault := range wrong.Faults {
			if !strings.Contains(wrong.Error(), fault) {
				t.Errorf("%q does not say %q", wrong, fault)
			}
		}
		return wrong.Faults
	}
	says := func(faults []string, fault string) bool {
		return slices.ContainsFunc(faults, func(f string) bool { return strings.HasPrefix(f, fault) })
	}
	for _, b := range all {
		cfg := Config{PackageDir: "d"}
		b.breaks(&cfg)
		if faults := faultsOf(cfg); !says(faults, b.fault) {
			t.Errorf("%q is not among %q", b.fault, faults)
		}
	}
	// The first twelve stand in each other's way nowhere, nor do these.
	together := append(slices.Clone(all[:12]), all[12], all[13], all[15], all[18], all[19], all[23], all[24], all[25])
	var cfg Config
	for _, b := range together {
		if b.fault == all[19].fault {
			continue // it is one by now
		}
		b.breaks(&cfg)
	}
	faults := faultsOf(cfg)
	for _, b := range together {
		if b.fault != all[3].fault && !says(faults, b.fault) {
			t.Errorf("%q is not among %q", b.fault, faults)
		}
	}
}

func TestAllowed(t *testing.T) {
	t.Parallel()
	env := []string{"A=1", "AB=2", "B=", "C=x=y", "odd"}
	for _, c := range []struct{ allow, want []string }{
		{[]string{}, nil},
		{[]string{"A"}, []string{"A=1"}},
		{[]string{"A*"}, []string{"A=1", "AB=2"}},
		{[]string{"*"}, env},
		{[]string{"C", "B", "none"}, []string{"B=", "C=x=y"}},
	} {
		got := allowed(env, c.allow)
		if got == nil || !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.allow, got, c.want)
		}
	}
}

func TestStaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s := staged{dir: dir}
	for _, name := range []string{"", ".", "..", "a/b", "a\x00", "nowhere"} {
		_, err := s.find(name)
		var answered *ExecutorError
		if !errors.As(err, &answered) || answered.Kind != InvalidLibrary || answered.Package != name {
			t.Errorf("%q: %v", name, err)
		}
	}
	must(os.Mkdir(dir+"/p", 0o755))
	library, program := dir+"/p/libp.so", dir+"/p/p"
	must(os.WriteFile(library, []byte("1"), 0o644))
	first, err := s.find("p")
	if err != nil || first.program || first.path != library {
		t.Errorf("%+v, %v", first, err)
	}
	if again, err := s.find("p"); err != nil || again != first {
		t.Errorf("%+v, %v", again, err)
	}
	// Of the same size, and maybe of the same time: a rename makes another file.
	must(os.WriteFile(library+".new", []byte("2"), 0o644))
	must(os.Rename(library+".new", library))
	second, err := s.find("p")
	if err != nil || second == first {
		t.Errorf("%+v, %v", second, err)
	}
	// What cannot be executed is no program.
	must(os.WriteFile(program, []byte("3"), 0o644))
	if file, err := s.find("p"); err != nil || file != second {
		t.Errorf("%+v, %v", file, err)
	}
	must(os.Chmod(program, 0o755))
	s.age.Add(1) // as the pool does each second
	if file, err := s.find("p"); err != nil || !file.program || file.path != program {
		t.Errorf("%+v, %v", file, err)
	}
	must(errors.Join(os.Remove(program), os.Mkdir(program, 0o755)))
	if file, err := s.find("p"); err != nil || file != second {
		t.Errorf("a folder of that name: %+v, %v", file, err)
	}
	must(os.Remove(library))
	if _, err := s.find("p"); !errors.As(err, new(*ExecutorError)) {
		t.Errorf("%v", err)
	}
}

// Each kind of error is one outcome, also where it wraps another.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want func(*Counts) *int64
	}{
		{nil, func(c *Counts) *int64 { return &c.Succeeded }},
		{&ExecutorError{}, func(c *Counts) *int64 { return &c.Failed }},
		{&TimeoutError{}, func(c *Counts) *int64 { return &c.TimedOut }},
		{&CrashError{}, func(c *Counts) *int64 { return &c.Crashed }},
		{&CanceledError{}, func(c *Counts) *int64 { return &c.Canceled }},
		{&ProtocolError{}, func(c *Counts) *int64 { return &c.ProtocolErrors }},
		{&TooLargeError{}, func(c *Counts) *int64 { return &c.TooLarge }},
		{ErrClosed, func(c *Counts) *int64 { return &c.NotStarted }},
		{&SpawnError{Err: &CrashError{}}, func(c *Counts) *int64 { return &c.NotStarted }},
		{&SpawnError{Err: &ExecutorError{}}, func(c *Counts) *int64 { return &c.NotStarted }},
		{&BreakerError{Err: &TimeoutError{}}, func(c *Counts) *int64 { return &c.NotStarted }},
	} {
		var counts Counts
		*counts.of(c.err) = 1
		if *c.want(&counts) != 1 || counts.Calls() != 1 {
			t.Errorf("%T: %+v", c.err, counts)
		}
	}
}
