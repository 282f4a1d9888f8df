package tasktest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// room says what a package of this module may build on.
type room struct {
	// imports are the packages of this module that it may import.
	imports []string

	// cgo allows C in it.
	cgo bool

	// pure forbids C in it and in all of this module that it links.
	pure bool

	// testing marks what only tests and reports need: it may import
	// internal/tasktest, and no shipped program may link it.
	testing bool
}

// rooms are all packages of this module. Arrows go down only; a new package
// needs a line here, and an import that is missing here needs a reason.
var rooms = map[string]room{
	"cmd/spider": {imports: []string{"internal/catalog", "internal/doctor", "internal/inspect", "internal/batch", "internal/monitor", "internal/record", "internal/scaffold", "internal/staging", "internal/typecheck", "pool", "internal/bench", "tdl", "internal/msgpack", "internal/wire"}, pure: true},

	"cmd/spider-task-executor": {imports: []string{"internal/executor", "internal/loader"}},

	"cmd/internal/poolmetrics": {imports: []string{"pool"}, pure: true},

	"pool":                    {imports: []string{"internal/protocol", "internal/sharedmem", "internal/spin", "internal/timeslice", "internal/widepipe", "tdl"}, pure: true},
	"tdl":                     {imports: []string{"internal/executor", "internal/wire", "internal/msgpack", "internal/protocol", "tdl/internal/registered"}, pure: true},
	"tdl/tdltest":             {imports: []string{"pool", "tdl", "tdl/internal/registered", "internal/protocol"}, pure: true},
	"tdl/cshared":             {imports: []string{"internal/timeslice", "tdl/internal/registered"}, cgo: true},
	"tdl/internal/registered": {pure: true},

	"internal/catalog":   {imports: []string{"internal/executor", "internal/protocol", "internal/throwaway", "tdl"}, pure: true},
	"internal/inspect":   {imports: []string{"internal/catalog", "internal/executor", "internal/protocol", "internal/throwaway", "pool", "tdl"}, pure: true},
	"internal/scaffold":  {imports: []string{"internal/protocol"}, pure: true},
	"internal/staging":   {imports: []string{"internal/catalog", "internal/inspect", "internal/scaffold"}, pure: true},
	"internal/doctor":    {imports: []string{"internal/inspect", "internal/scaffold", "internal/staging", "internal/throwaway", "pool"}, pure: true},
	"internal/throwaway": {pure: true},

	"internal/bench":                {imports: []string{"pool", "tdl", "internal/protocol", "internal/tasktest/instrument", "internal/bench/workload"}, pure: true},
	"internal/bench/compare":        {imports: []string{"internal/bench/workload", "internal/tasktest"}, testing: true},
	"internal/bench/compare/worker": {imports: []string{"pool"}, testing: true},
	"internal/bench/workload":       {imports: []string{"pool", "tdl", "internal/msgpack", "internal/wire"}, pure: true},

	"internal/typecheck": {imports: []string{"tdl", "internal/msgpack"}, pure: true},

	"internal/batch":   {imports: []string{"pool", "internal/record", "tdl", "internal/msgpack", "internal/wire"}, pure: true},
	"internal/monitor": {pure: true},

	"internal/record": {imports: []string{"pool", "tdl", "internal/msgpack", "internal/wire"}, pure: true},

	"internal/executor":  {imports: []string{"internal/protocol", "internal/sharedmem", "internal/spin", "internal/timeslice", "internal/widepipe"}, pure: true},
	"internal/loader":    {imports: []string{"internal/executor", "internal/protocol"}, cgo: true},
	"internal/protocol":  {pure: true},
	"internal/wire":      {pure: true},
	"internal/msgpack":   {pure: true},
	"internal/timeslice": {pure: true},
	"internal/spin":      {imports: []string{"internal/timeslice"}, pure: true},
	"internal/sharedmem": {pure: true},
	"internal/widepipe":  {pure: true},

	"examples/logsearch": {imports: []string{"tdl", "tdl/cshared"}},
	// Tests only.
	"docs":               {},
	"examples/checksum":  {},
	"examples/wordcount": {},

	// What reads a clock the way the report needs it; shipped with the report.
	"internal/tasktest/instrument": {pure: true},

	"internal/tasktest":             {imports: []string{"tdl"}, testing: true},
	"internal/tasktest/stage":       {imports: []string{"internal/tasktest"}, testing: true},
	"internal/tasktest/unprotected": {imports: []string{"internal/executor", "internal/loader"}, testing: true},
	"internal/tasktest/packages/gobehave": {
		imports: []string{"tdl", "tdl/cshared"}, testing: true,
	},
	"internal/tasktest/packages/gorecover": {imports: []string{"tdl", "tdl/cshared"}, testing: true},
	"internal/tasktest/packages/gofaulty":  {imports: []string{"tdl", "tdl/cshared"}, testing: true},
	"internal/tasktest/packages/integration_test_tasks": {
		imports: []string{"tdl", "tdl/cshared", "internal/tasktest/instrument"}, cgo: true, testing: true,
	},
}

// listed is what go list says about a package.
type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Foreign    []string `json:"-"` // what it links, of this module or not
	CgoFiles   []string
	CFiles     []string
}

// house returns the packages of this module by their path inside it, with what
// they import and link of it.
func house(t *testing.T) map[string]listed {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.Command("go", "list", "-f", "{{.Module.Path}}", ".")
	cmd.Dir, cmd.Stderr = root+"/pool", &stderr
	module, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	prefix := strings.TrimSpace(string(module)) + "/"

	cmd = exec.Command("go", "list", "-json=ImportPath,Imports,Deps,CgoFiles,CFiles", "./...")
	cmd.Dir, cmd.Stderr = root, &stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1") // else cgo files would not show
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	ours := func(paths []string) (inside []string) {
		for _, path := range paths {
			if path, ok := strings.CutPrefix(path, prefix); ok {
				inside = append(inside, path)
			}
		}
		return inside
	}
	packages := map[string]listed{}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		p.Foreign = p.Deps
		p.Imports, p.Deps = ours(p.Imports), ours(p.Deps)
		packages[strings.TrimPrefix(p.ImportPath, prefix)] = p
	}
}

func (p listed) cgo() bool { return len(p.CgoFiles)+len(p.CFiles) > 0 }

// The module's packages build on each other in one direction only.
func TestArrows(t *testing.T) {
	t.Parallel()
	packages := house(t)
	for path, p := range packages {
		allowed, ok := rooms[path]
		if !ok {
			t.Errorf("%s is not in the table of rooms", path)
			continue
		}
		for _, imported := range p.Imports {
			if !slices.Contains(allowed.imports, imported) {
				t.Errorf("%s must not import %s", path, imported)
			}
		}
		if p.cgo() && !allowed.cgo {
			t.Errorf("%s must not use cgo", path)
		}
		for _, linked := range p.Deps {
			if allowed.pure && packages[linked].cgo() {
				t.Errorf("%s must not link %s, which uses cgo", path, linked)
			}
			if !allowed.testing && rooms[linked].testing {
				t.Errorf("%s must not link %s, which is for tests", path, linked)
			}
		}
	}
	for path := range rooms {
		if _, ok := packages[path]; !ok {
			t.Errorf("the table of rooms has %s, which does not exist", path)
		}
	}
}

// Charts are drawn by what draws reports, and linked by nothing else.
func TestCharts(t *testing.T) {
	t.Parallel()
	drawing := []string{"internal/bench", "cmd/spider"}
	for path, p := range house(t) {
		draws := slices.ContainsFunc(p.Foreign, func(dep string) bool { return strings.HasPrefix(dep, "gonum.org/") })
		if draws != slices.Contains(drawing, path) {
			t.Errorf("%s links the library for charts: %t", path, draws)
		}
	}
}

// The table itself allows no circle, and nothing pure to build on C.
func TestRooms(t *testing.T) {
	t.Parallel()
	var visit func(path string, above []string)
	visit = func(path string, above []string) {
		if slices.Contains(above, path) {
			t.Fatalf("circle: %v", append(above, path))
		}
		r, ok := rooms[path]
		if !ok {
			t.Errorf("%s allows %s, which is no room", above[len(above)-1], path)
		}
		if r.cgo && (r.pure || rooms[above[0]].pure) {
			t.Errorf("%s is pure and may reach %s, which uses C", above[0], path)
		}
		for _, imported := range r.imports {
			visit(imported, append(slices.Clone(above), path))
		}
	}
	for path, r := range rooms {
		for _, imported := range r.imports {
			visit(imported, []string{path})
		}
	}
}
