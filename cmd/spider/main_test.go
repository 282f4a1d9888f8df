package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/spider-go/spider/internal/tasktest"
)

// TestMain lets the test binary be spider too.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"spider": main,
	})
}

// TestScripts runs testdata/script/*.txtar, with real executors and packages:
//
//	spider          this test binary
//	$BIN            the folder that holds nothing but it
//	$BUILT_SPIDER   the program as built, with the executor beside it
//	$EXECUTOR       the executor, also on PATH
//	$PACKAGES       the package directory, also in SPIDER_TDL_PACKAGE_DIR
//	$SELF_HOSTED    one with packages that are programs only
//	$SDK            this repository
//
// The condition [crates] tells whether Rust packages can be built.
func TestScripts(t *testing.T) {
	built := build(t)
	spider, err := exec.LookPath("spider")
	if err != nil {
		t.Fatal(err)
	}
	tools := compilers(t)
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("testdata", "script"),
		RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": cmdStatus,
		},
		Setup: func(env *testscript.Env) error {
			env.Setenv("BIN", filepath.Dir(spider))
			env.Setenv("BUILT_SPIDER", built.Spider)
			env.Setenv("EXECUTOR", built.Executor)
			env.Setenv("PACKAGES", built.Packages)
			env.Setenv("SELF_HOSTED", built.SelfHosted)
			env.Setenv("PATH", env.Getenv("PATH")+string(filepath.ListSeparator)+filepath.Dir(built.Executor))
			env.Setenv("SPIDER_TDL_PACKAGE_DIR", built.Packages)
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, "cache"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "config"))
			// Under -race, every process would otherwise end with a second's sleep.
			env.Setenv("GORACE", "atexit_sleep_ms=10")
			for name, value := range tools {
				env.Setenv(name, value)
			}
			return nil
		},
		Condition: func(condition string) (bool, error) {
			switch condition {
			case "root":
				return os.Getuid() == 0, nil
			case "crates":
				skipped, err := tasktest.FetchCrates()
				if skipped != "" {
					t.Log(skipped)
				}
				return skipped == "" && err == nil, err
			}
			return false, fmt.Errorf("no condition %s", condition)
		},
	})
}

// compilers is the environment in which go and cargo find, in a script's empty home,
// what they have, and look for no more.
func compilers(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	caches := strings.Fields(string(out))
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	sdk, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"SDK":               sdk,
		"GOCACHE":           caches[0],
		"GOMODCACHE":        caches[1],
		"GOPROXY":           "off",
		"GOFLAGS":           "",
		"CARGO_HOME":        cmp.Or(os.Getenv("CARGO_HOME"), filepath.Join(home, ".cargo")),
		"RUSTUP_HOME":       cmp.Or(os.Getenv("RUSTUP_HOME"), filepath.Join(home, ".rustup")),
		"CARGO_NET_OFFLINE": "true",
	}
}

func build(t *testing.T) tasktest.Built {
	t.Helper()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// cmdStatus is: status N program [args...]. The program must exit with status N.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		if got = exit.ExitCode(); got < 0 {
			ts.Fatalf("%v", exit)
		}
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// heedSignals gives children the default meaning of signals that this process
// was started with ignored, as shells do for background jobs.
func heedSignals(t *testing.T, sigs ...os.Signal) {
	t.Helper()
	c := make(chan os.Signal, 1)
	for _, sig := range sigs {
		if signal.Ignored(sig) {
			signal.Notify(c, sig)
		}
	}
	t.Cleanup(func() { signal.Stop(c) })
}

// gone reports whether neither a process nor a process group has this number.
func gone(pid int) bool {
	return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) && errors.Is(syscall.Kill(-pid, 0), syscall.ESRCH)
}
