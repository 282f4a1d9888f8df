package main

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/spider-go/spider/internal/catalog"
	"github.com/spider-go/spider/internal/wire"
	"github.com/spider-go/spider/tdl"
)

// What a package says of itself is remembered for as long as its file is the same, and
// nothing is refused by memory alone.
func TestRemembered(t *testing.T) {
	built := build(t)
	cache, dir := t.TempDir(), t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	asked := filepath.Join(dir, "asked")
	const name = "integration_test_tasks"
	program := catalog.ProgramPath(dir, name)
	install := func() {
		t.Helper()
		script := "#!/bin/sh\n" +
			`[ "$1" = --describe ] && echo described >>` + asked + "\n" +
			"exec " + catalog.ProgramPath(built.SelfHosted, name) + ` "$@"` + "\n"
		if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
			t.Fatal(err)
		}
		// Under the fork lock: a child forked meanwhile would hold the file open for
		// writing, and a file that is cannot be started.
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if err := os.WriteFile(program+".new", []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(program+".new", program); err != nil {
			t.Fatal(err)
		}
	}
	install()
	from := catalog.Source{Dir: dir}
	inputs := func(arg string) []byte {
		sequence, err := encodeArguments([]string{arg})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.Parse(sequence); err != nil {
			t.Fatal(err)
		}
		return sequence
	}
	// expect describes the package and checks an argument.
	expect := func(what string, remembered, refused bool, arg string, times int) {
		t.Helper()
		d := describe(from, name)
		defer d.stop()
		if d.remembered != remembered {
			t.Errorf("%s: remembered %v", what, d.remembered)
		}
		if err := d.check("fibonacci", inputs(arg)); (err != nil) != refused {
			t.Errorf("%s: %v", what, err)
		}
		text, err := os.ReadFile(asked)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("described")); n != times {
			t.Errorf("%s: asked %d times, want %d", what, n, times)
		}
	}
	keep := func(d *tdl.Description) {
		t.Helper()
		m, _ := recall(from, name)
		m.keep(d, nil, time.Now().Add(time.Hour))
	}

	description, err := catalog.Describe(t.Context(), from, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(asked); err != nil {
		t.Fatal(err)
	}
	m, ok := recall(from, name)
	if ok {
		t.Error("remembered before it was kept")
	}
	m.keep(description, nil, time.Unix(0, m.Of.Package.Changed).Add(settled/2))
	if _, ok := recall(from, name); ok {
		t.Error("kept of a file that was just changed")
	}

	keep(description)
	if err := os.WriteFile(asked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expect("kept", true, false, "10", 0)
	expect("kept, and refused", true, true, "-1", 1)

	liar := *description
	liar.Tasks = []tdl.TaskDescription{{Name: "fibonacci", Params: []tdl.TypeMember{{Type: "string"}}}}
	keep(&liar)
	expect("a lie", true, false, "10", 2)
	expect("a lie, or what was found out", true, true, "-1", 3)

	keep(nil)
	expect("that it says nothing", true, false, "-1", 3)

	install()
	expect("of another file", false, false, "10", 4)

	kept, err := filepath.Glob(filepath.Join(cache, "spider", "descriptions", "*"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("%v, %v", kept, err)
	}
	keep(description)
	if err := os.WriteFile(kept[0], []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect("nonsense", false, false, "10", 5)
	if hidden, _ := filepath.Glob(filepath.Join(cache, "spider", "descriptions", ".*")); len(hidden) > 0 {
		t.Errorf("left: %v", hidden)
	}
}
