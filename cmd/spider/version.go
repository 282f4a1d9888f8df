package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/alecthomas/kong"
)

type versionCommand struct {
	JSON bool `help:"One JSON object."`
}

// Help is what spider version --help adds.
func (*versionCommand) Help() string {
	return `Example:

    spider version --json`
}

// version is what the go command recorded when it built this program.
type version struct {
	Version  string `json:"version"`          // a tag, a commit's, or (devel)
	Commit   string `json:"commit,omitempty"` // empty where it was not built in a repository
	Modified bool   `json:"modified,omitempty"`
	Time     string `json:"time,omitempty"` // of the commit
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisVersion() version {
	v := version{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			v.Commit = s.Value
		case "vcs.time":
			v.Time = s.Value
		case "vcs.modified":
			v.Modified = s.Value == "true"
		}
	}
	return v
}

func (v version) print(w io.Writer) {
	fmt.Fprintf(w, "spider %s\n", v.Version)
	switch {
	case v.Commit == "":
		fmt.Fprintln(w, "commit: not known")
	case v.Modified:
		fmt.Fprintf(w, "commit: %s, with changes\n", v.Commit)
	default:
		fmt.Fprintf(w, "commit: %s\n", v.Commit)
	}
	fmt.Fprintf(w, "go: %s\nplatform: %s\n", v.Go, v.Platform)
}

// Run prints what is known of this program.
func (c *versionCommand) Run(s *streams) error {
	if !c.JSON {
		thisVersion().print(s.out)
		return nil
	}
	return json.NewEncoder(s.out).Encode(thisVersion())
}

// versionFlag is --version.
type versionFlag bool

// BeforeReset is called by kong when it meets the flag.
func (versionFlag) BeforeReset(app *kong.Kong) error {
	thisVersion().print(app.Stdout)
	app.Exit(0)
	return nil
}
