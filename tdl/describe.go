package tdl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"

	"github.com/spider-go/spider/internal/msgpack"
)

// ABIVersion is the version of the C ABI, tdl.h, that packages are built for.
const ABIVersion = "0.1.0"

// descriptionFormat is the version of the description's form.
const descriptionFormat = 1

// Description is what a package tells about itself: the JSON that a library's
// describe symbol returns, and that a program prints with --describe. Packages in
// other languages may leave most of it out.
type Description struct {
	// Format is the version of this form: 1.
	Format int `json:"describe"`

	Name string `json:"name"`
	ABI  string `json:"abi,omitempty"` // the ABI's version, such as 0.1.0
	SDK  string `json:"sdk,omitempty"` // what the package was written with, and its version

	Build BuildInfo `json:"build,omitzero"`

	// Types defines the types that have a name, by that name.
	Types map[string]TypeDefinition `json:"types,omitempty"`

	Tasks []TaskDescription `json:"tasks"`
}

// BuildInfo is how a package was built. What is not known is empty.
type BuildInfo struct {
	Language string `json:"language,omitempty"` // such as Go
	Compiler string `json:"compiler,omitempty"` // such as go1.26.8
	Target   string `json:"target,omitempty"`   // such as linux/amd64
	Module   string `json:"module,omitempty"`   // where the source comes from
	Version  string `json:"version,omitempty"`  // of the module
	Revision string `json:"revision,omitempty"` // of its repository
	Modified bool   `json:"modified,omitempty"` // it had changes on top of that
}

// TaskDescription is one task.
type TaskDescription struct {
	Name    string       `json:"name"`
	Doc     string       `json:"doc,omitempty"`
	Params  []TypeMember `json:"params"`
	Results []TypeMember `json:"results"`
}

// TypeMember is a type and what has it: a parameter, a result, a field, or a
// variant, which may have no type. Names may be missing.
//
// A type is written as one of bool, int8 to int64, uint8 to uint64, float (32
// bits), double (64 bits), string, unit, any, List<T>, Array<T, N>, Map<K, V>,
// Option<T>, Tuple<A, B, ...>, struct{a: A, b: B}, enum{A, B: T}, or as a name that
// [Description.Types] defines.
type TypeMember struct {
	Name string `json:"name,omitempty"`
	Type string `json:"type,omitempty"`
}

// TypeDefinition is a type with a name. Its Kind is "struct" or "tuple", with
// Fields, "enum", with Variants, "newtype", with one field, for a list, map or
// option that contains itself, or "opaque", for a type with its own encoding.
type TypeDefinition struct {
	Kind     string       `json:"kind"`
	Fields   []TypeMember `json:"fields,omitempty"`
	Variants []TypeMember `json:"variants,omitempty"`
}

// describe is the package in words. It must have no fault.
func (p *pkg) describe() Description {
	d := Description{
		Format: descriptionFormat,
		Name:   p.name,
		ABI:    ABIVersion,
		SDK:    "spider-go",
		Tasks:  []TaskDescription{},
		Build: BuildInfo{
			Language: "Go",
			Compiler: runtime.Version(),
			Target:   runtime.GOOS + "/" + runtime.GOARCH,
		},
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		d.addBuild(info)
	}
	var types msgpack.Notation
	member := func(name string, t reflect.Type) TypeMember {
		text, err := types.Of(t)
		if err != nil {
			panic(err) // it has a codec
		}
		return TypeMember{Name: name, Type: text}
	}
	for _, f := range p.order {
		t := TaskDescription{Name: f.name, Doc: f.doc, Params: []TypeMember{}, Results: []TypeMember{}}
		for i, param := range f.types {
			name := ""
			if f.names != nil {
				name = f.names[i]
			}
			t.Params = append(t.Params, member(name, param))
		}
		for i := range f.results {
			t.Results = append(t.Results, member("", f.fn.Type().Out(i)))
		}
		d.Tasks = append(d.Tasks, t)
	}
	for name, t := range types.Types {
		if d.Types == nil {
			d.Types = make(map[string]TypeDefinition, len(types.Types))
		}
		d.Types[name] = TypeDefinition{Kind: t.Kind, Fields: members(t.Fields), Variants: members(t.Variants)}
	}
	return d
}

func members(list []msgpack.Member) (members []TypeMember) {
	for _, m := range list {
		members = append(members, TypeMember(m))
	}
	return members
}

// sdkModule is this module's path.
var sdkModule = path.Dir(reflect.TypeFor[Package]().PkgPath())

func (d *Description) addBuild(info *debug.BuildInfo) {
	sdk := info.Main
	if i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == sdkModule }); i >= 0 {
		sdk = *info.Deps[i]
	}
	if sdk.Path == sdkModule && sdk.Version != "" {
		d.SDK += " " + sdk.Version
	}
	d.Build.Module, d.Build.Version = info.Main.Path, info.Main.Version
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			d.Build.Revision = s.Value
		case "vcs.modified":
			d.Build.Modified = s.Value == "true"
		}
	}
}

// description is the JSON text. The error is the registration's.
func (p *pkg) description() ([]byte, error) {
	if p.fault != nil {
		return nil, p.fault
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // List<T> is to be read by people
	if err := e.Encode(p.describe()); err != nil {
		return nil, fmt.Errorf("describe package %q: %w", p.name, err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Describe implements [registered.Package].
func (p *pkg) Describe() (_ []byte, failed bool) {
	text, err := p.description()
	if err != nil {
		return asError(err).wire().Append(nil), true
	}
	return text, false
}
