package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Whatever a file holds, it is read, or there is one line about it.
func FuzzConfig(f *testing.F) {
	f.Add("color = \"never\"\n[run]\ntimeout = '1s'\n")
	f.Add("run.timeout = 5\n[run.x]\n[[bench]]\na.\"b c\" = [1, {d = 2}]\n")
	f.Add("run = 5\n")
	f.Add("[bench]\nagainst = [[]]\ncalls = 0x10\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		g := testGrammar()
		var usage *usageError
		err := g.settings.readAll(path)
		for _, file := range g.settings.files {
			err = errors.Join(err, g.settings.check(file))
		}
		if err != nil && !errors.As(err, &usage) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		for flag := range g.settings.commands {
			if found, ok := g.settings.of(flag); ok {
				if err := fits(flag, found.value); err != nil {
					t.Fatalf("%s: %v was checked, but: %v", flag.Name, found, err)
				}
			}
		}
	})
}
