package tdl

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The version that a description names is the header's.
func TestABIVersion(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("cshared/tdl.h")
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, m := range regexp.MustCompile(`(?m)^#define SPIDER_TDL_VERSION_[A-Z]+ (\d+)$`).FindAllSubmatch(text, -1) {
		parts = append(parts, string(m[1]))
	}
	if got := strings.Join(parts, "."); got != ABIVersion {
		t.Errorf("tdl.h has %s, tdl %s", got, ABIVersion)
	}
}

type describedLevel string

func (describedLevel) EnumVariants() []string { return []string{"Low", "High"} }

type describedPair struct {
	Tuple
	Word  string
	Count uint64
}

type describedShape struct {
	Enum
	Nothing *Unit
	Circle  *float64
	Pair    *describedPair
}

type describedNode struct {
	Value    any
	Children []describedNode
	Level    describedLevel
	Shape    *describedShape
	ByName   map[string][2]float32 `tdl:"by_key"`
}

// A description has tasks in the order of registration, and each type once.
func TestDescription(t *testing.T) {
	t.Parallel()
	p := pack(t,
		Func("z", func(TaskContext, describedNode, []byte) (int, *bool, error) { return 0, nil, nil }, Params("tree", "data"), Doc("Last letter.")),
		Func("a", func() error { return nil }),
		Func("b", func(describedNode) error { return nil }),
	)
	d := p.describe()
	want := []TaskDescription{
		{Name: "z", Doc: "Last letter.",
			Params:  []TypeMember{{Name: "tree", Type: "describedNode"}, {Name: "data", Type: "List<uint8>"}},
			Results: []TypeMember{{Type: "int64"}, {Type: "Option<bool>"}}},
		{Name: "a", Params: []TypeMember{}, Results: []TypeMember{}},
		{Name: "b", Params: []TypeMember{{Type: "describedNode"}}, Results: []TypeMember{}},
	}
	if diff := cmp.Diff(want, d.Tasks); diff != "" {
		t.Error(diff)
	}
	types := map[string]TypeDefinition{
		"describedNode": {Kind: "struct", Fields: []TypeMember{
			{Name: "value", Type: "any"}, {Name: "children", Type: "List<describedNode>"}, {Name: "level", Type: "describedLevel"},
			{Name: "shape", Type: "Option<describedShape>"}, {Name: "by_key", Type: "Map<string, Array<float, 2>>"}}},
		"describedLevel": {Kind: "enum", Variants: []TypeMember{{Name: "Low"}, {Name: "High"}}},
		"describedShape": {Kind: "enum", Variants: []TypeMember{
			{Name: "Nothing"}, {Name: "Circle", Type: "double"}, {Name: "Pair", Type: "describedPair"}}},
		"describedPair": {Kind: "tuple", Fields: []TypeMember{{Type: "string"}, {Type: "uint64"}}},
	}
	if diff := cmp.Diff(types, d.Types); diff != "" {
		t.Error(diff)
	}
	text, err := p.description()
	if err != nil || !strings.Contains(string(text), `"type":"List<uint8>"`) || strings.ContainsRune(string(text), '\n') {
		t.Errorf("%v: %s", err, text)
	}
}
