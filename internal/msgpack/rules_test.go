package msgpack

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDecodingRules has the decoder's rules one by one. Where a row is not
// obvious, rmp-serde 1.3.1 was asked.
func TestDecodingRules(t *testing.T) {
	t.Parallel()
	accepted := []struct {
		rule, typ, in string
		want          string // the value encoded again
	}{
		{"unsigned from fixint", "u64", "05", "05"},
		{"unsigned from every unsigned form", "u8", "cf0000000000000005", "05"},
		{"unsigned from a signed form", "u8", "d00a", "0a"},
		{"signed from an unsigned form", "i8", "cd007f", "7f"},
		{"signed from a signed form", "i8", "d3ffffffffffffff80", "d080"},
		{"u64 max", "u64", "cfffffffffffffffff", "cfffffffffffffffff"},
		{"i64 min", "i64", "d38000000000000000", "d38000000000000000"},
		{"f32 from f64", "f32", "cb3ff8000000000000", "ca3fc00000"},
		{"f32 from f64 rounds to infinity", "f32", "cb47f0000000000000", "ca7f800000"},
		{"f64 from f32", "f64", "ca3fc00000", "cb3ff8000000000000"},
		{"f32 keeps a signaling NaN", "f32", "ca7f800001", "ca7f800001"},
		{"float from integer", "f64", "05", "cb4014000000000000"},
		{"float from negative integer", "f32", "ff", "cabf800000"},
		{"f32 from u64 rounds once", "f32", "cf8000008000000001", "ca5f000001"},
		{"string from bin", "string", "c4026869", "a26869"},
		{"string from str32", "string", "db0000000161", "a161"},
		{"option none", "opt", "c0", "c0"},
		{"option of option from nil", "optopt", "c0", "c0"},
		{"option of option from a value", "optopt", "05", "05"},
		{"byte vector from array", "bytes", "93cc050506", "93050506"},
		{"byte vector from bin", "bytes", "c40301ff02", "9301ccff02"},
		{"list from bin: u8 elements", "vu16", "c402ff01", "92ccff01"},
		{"list of floats from bin", "vf64", "c40102", "91cb4000000000000000"},
		{"any list from empty bin", "vstr", "c400", "90"},
		{"array32 header", "vu64", "dd0000000107", "9107"},
		{"fixed array from bin ignores excess", "a3u8", "c40401020304", "93010203"},
		{"empty fixed array from any bin", "a0u8", "c40101", "90"},
		{"tuple from bin ignores excess", "t3", "c40401020304", "930102ca40400000"},
		{"struct from array", "inner", "92ca3f80000002", "92ca3f800000cb4000000000000000"},
		{"struct from bin", "one", "c4020507", "9105"},
		{"struct from map by name", "one", "81a16105", "9105"},
		{"struct from map by bin name", "one", "81c4016105", "9105"},
		{"struct from map by index", "one", "810005", "9105"},
		{"struct from map by wide index", "one", "81cf000000000000000005", "9105"},
		{"missing options are None", "opts", "81a16305", "93c0c005"},
		{"unknown key skipped", "one", "82a1780fa16105", "9105"},
		{"unknown index skipped", "one", "82cd01000fa16105", "9105"},
		{"unknown key twice", "one", "83a17801a17802a16105", "9105"},
		{"key that is not UTF-8 is unknown", "one", "82a1ff0fa16105", "9105"},
		{"ext under a skipped key", "one", "82a178d40501a16105", "9105"},
		{"ext 32 under a skipped key", "one", "82a178c90000000005a16105", "9105"},
		{"invalid UTF-8 under a skipped key", "one", "82a178a1ffa16105", "9105"},
		{"any key in a skipped map", "one", "82a1788190c0a16105", "9105"},
		{"unit", "unit", "c0", "c0"},
		{"unit struct from nil", "ping", "c0", "90"},
		{"unit struct from empty array", "ping", "90", "90"},
		{"empty struct from empty array", "empty", "dc0000", "90"},
		{"empty struct from map", "empty", "81a1780f", "90"},
		{"empty struct from any bin", "empty", "c40107", "90"},
		{"list of units", "vunit", "92c0c0", "92c0c0"},
		{"list of empty structs", "vempty", "929080", "929090"},
		{"duplicate map key, last wins", "mstr", "82a16101a16102", "81a16102"},
		{"map order is the keys'", "mi32", "8202a179ffa178", "82ffa17802a179"},
		{"trailing bytes are left", "u8", "05c1", "05"},
		{"enum unit by name", "enum", "a4556e6974", "a4556e6974"},
		{"enum unit by bin", "enum", "c404556e6974", "a4556e6974"},
		{"enum unit by index", "enum", "00", "a4556e6974"},
		{"enum unit as map to nil", "enum", "81a4556e6974c0", "a4556e6974"},
		{"enum newtype by index", "enum", "810105", "81a34e657705"},
		{"enum map16 header", "enum", "de00010105", "81a34e657705"},
		{"enum struct variant from array", "enum", "810392cc05c0", "81a35374729205c0"},
		{"enum struct variant from map", "enum", "810381a16105", "81a35374729205c0"},
		{"enum option variant none", "enum", "8104c0", "81a34f7074c0"},
		{"unit enum as map to nil", "color", "8102c0", "a4426c7565"},
	}
	for _, c := range accepted {
		b, err := hex.DecodeString(c.in)
		if err != nil {
			t.Fatal(c.rule, err)
		}
		v := reflect.New(zoo[c.typ]).Elem()
		if _, err := DecodeValue(b, v); err != nil {
			t.Errorf("%s: %s %s: %v", c.rule, c.typ, c.in, err)
			continue
		}
		got, err := AppendValue(nil, v)
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%s: %s %s: got %x, %v; want %s", c.rule, c.typ, c.in, got, err, c.want)
		}
	}

	refused := []struct{ rule, typ, in string }{
		{"nothing", "u8", ""},
		{"256 into u8", "u8", "cd0100"},
		{"-1 into unsigned", "u64", "ff"},
		{"128 into i8", "i8", "cc80"},
		{"u64 max into i64", "i64", "cfffffffffffffffff"},
		{"float into integer", "i64", "cb4014000000000000"},
		{"f32 into integer", "u8", "ca40a00000"},
		{"bool into integer", "u8", "c3"},
		{"nil into integer", "u8", "c0"},
		{"string into integer", "u64", "a135"},
		{"integer into bool", "bool", "01"},
		{"nil into bool", "bool", "c0"},
		{"string into float", "f64", "a135"},
		{"nil into float", "f64", "c0"},
		{"integer into string", "string", "05"},
		{"nil into string", "string", "c0"},
		{"array into string", "string", "9161"},
		{"non-UTF-8 str", "string", "a2fffe"},
		{"non-UTF-8 bin into string", "string", "c401ff"},
		{"str into byte vector", "bytes", "a26869"},
		{"non-UTF-8 str into byte vector", "bytes", "a2fffe"},
		{"256 into a byte vector", "bytes", "91cd0100"},
		{"200 of a bin into i8", "vi8", "c401c8"},
		{"bin into strings", "vstr", "c40161"},
		{"bin into bools", "vbool", "c40101"},
		{"bin into options", "vopt", "c40101"},
		{"bin into units", "vunit", "c40101"},
		{"bin into enums", "vcolor", "c40101"},
		{"bin into lists", "vbytes", "c40101"},
		{"nil into list", "vu64", "c0"},
		{"map into list", "vu64", "80"},
		{"nil into map", "mstr", "c0"},
		{"empty array into map", "mstr", "90"},
		{"bin into map", "mstr", "c400"},
		{"fixed array too short", "a3u8", "920102"},
		{"fixed array too long", "a3u8", "9401020304"},
		{"fixed array from short bin", "a3u8", "c4020102"},
		{"tuple too long", "t1", "920505"},
		{"tuple too short", "t2", "9105"},
		{"tuple from map", "t1", "810005"},
		{"tuple from nil", "t1", "c0"},
		{"one-field tuple from the bare value", "t1", "05"},
		{"struct too short", "inner", "91ca3f800000"},
		{"struct too long", "one", "920505"},
		{"struct with missing options as array", "opts", "9105"},
		{"struct missing a field", "inner", "81a2726501"},
		{"struct from nil", "one", "c0"},
		{"duplicate field", "one", "82a16105a16106"},
		{"duplicate field by name and index", "one", "82a161050006"},
		{"index in a signed form", "one", "81d00005"},
		{"negative index", "one", "82ff05a16105"},
		{"nil key", "one", "82c005a16105"},
		{"bool key", "one", "82c205a16105"},
		{"float key", "one", "82ca0000000005a16105"},
		{"array key", "one", "829005a16105"},
		{"ext key", "one", "82d4000005a16105"},
		{"c1 under a skipped key", "one", "82a178c1a16105"},
		{"unit from empty array", "unit", "90"},
		{"unit from false", "unit", "c2"},
		{"unit struct from map", "ping", "80"},
		{"unit struct from array16", "ping", "dc0000"},
		{"unit struct from bin", "ping", "c400"},
		{"unit struct from a full array", "ping", "91c0"},
		{"empty struct from nil", "empty", "c0"},
		{"empty struct from a full array", "empty", "91c0"},
		{"empty struct from a bad key", "empty", "81c0c0"},
		{"ext", "bytes", "d40501"},
		{"ext into a string", "string", "c7010561"},
		{"reserved", "opt", "c1"},
		{"str beyond the end", "string", "a361"},
		{"str32 beyond the end", "string", "dbffffffff61"},
		{"bin32 beyond the end", "bytes", "c6ffffffff61"},
		{"array32 beyond the end", "vu64", "ddffffffff01"},
		{"map32 beyond the end", "mstr", "dfffffffffa16101"},
		{"truncated integer", "u64", "cf00000000"},
		{"truncated float", "f64", "cb00000000"},
		{"truncated list", "vu64", "930102"},
		{"enum: unknown name", "enum", "a3466f6f"},
		{"enum: unknown index", "enum", "09"},
		{"enum: index in a signed form", "enum", "d000"},
		{"enum: empty map", "enum", "80"},
		{"enum: map of two", "enum", "8201050105"},
		{"enum: nil", "enum", "c0"},
		{"enum: array", "enum", "92a34e657705"},
		{"enum: unit as map to something", "enum", "81a4556e697490"},
		{"enum: newtype alone", "enum", "a34e6577"},
		{"enum: tuple variant from map", "enum", "810282000501c3"},
		{"enum: tuple variant from bin with a bool", "enum", "8102c4020501"},
		{"enum: struct variant from bin with an option", "enum", "8103c4020501"},
		{"enum: struct variant too short", "enum", "81039105"},
		{"unit enum: unknown", "color", "a3466f6f"},
		{"unit enum: nil", "color", "c0"},
	}
	for _, c := range refused {
		b, err := hex.DecodeString(c.in)
		if err != nil {
			t.Fatal(c.rule, err)
		}
		v := reflect.New(zoo[c.typ]).Elem()
		if _, err := DecodeValue(b, v); err == nil {
			t.Errorf("%s: %s %s was accepted", c.rule, c.typ, c.in)
		}
	}
}

// TestEveryTruncation cuts valid values short at every byte.
func TestEveryTruncation(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"outer":  "95a16ff992ca3ff00000cb40040000000000009192ca3ff00000cb4004000000000000cc80",
		"enum":   "81a35374729205d1ff00",
		"mm":     "81a161810592ca3ff00000cb4004000000000000",
		"one":    "82a17893c3c7010501a161a16105",
		"vbytes": "92c40301020392cc8007",
	} {
		b, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		for n := range b {
			if got := answer(name, b[:n]); got != "err" {
				t.Errorf("%s %x: %s", name, b[:n], got)
			}
		}
	}
}

func TestNesting(t *testing.T) {
	t.Parallel()
	nest := func(open string, n int, end string) []byte {
		b, _ := hex.DecodeString(strings.Repeat(open, n) + end)
		return b
	}
	under := func(key, value []byte) []byte { // a value under a skipped key of One
		return append(append(append([]byte{0x82}, key...), value...), 0, 5)
	}
	x := []byte{0xa1, 'x'}
	cases := []struct {
		what, typ string
		in        []byte
		ok        bool
	}{
		{"1,023 arrays", "l", nest("91", 1022, "90"), true},
		{"1,024 arrays", "l", nest("91", 1023, "90"), false},
		{"1,022 arrays skipped", "one", under(x, nest("91", 1022, "c0")), true},
		{"1,023 arrays skipped", "one", under(x, nest("91", 1023, "c0")), false},
		{"maps and arrays skipped", "one", under(x, nest("9181c0", 511, "c0")), true},
		{"an ext counts where it is skipped", "one", under(x, nest("91", 1022, "d40501")), false},
		{"an ext in 1,021 arrays", "one", under(x, nest("91", 1021, "d40501")), true},
		{"a bin does not count", "l", nest("91", 1023, "c400"), true},
		{"2,000 enum maps", "enum", nest("8105", 2000, "00"), true},
		{"20,000 enum maps", "enum", nest("8105", 20_000, "00"), true},
		{"20,001 enum maps", "enum", nest("8105", 20_001, "00"), false},
		{"8 MiB of enum maps", "enum", nest("8105", 4<<20, ""), false},
		{"8 MiB of arrays", "l", nest("91", 8<<20, ""), false},
		{"lists in enum maps, 1,023 arrays", "enum", nest("810691", 1023, "00"), true},
		{"lists in enum maps, 1,024 arrays", "enum", nest("810691", 1024, "00"), false},
	}
	for _, c := range cases {
		_, err := DecodeValue(c.in, reflect.New(zoo[c.typ]).Elem())
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	for n, ok := range map[int]bool{1023: true, 1024: false} {
		in := nest("91", n, "c0")
		var x any
		if _, err := Decode(in, &x); (err == nil) != ok {
			t.Errorf("any, %d arrays: %v", n, err)
		}
		if _, err := Skip(in); (err == nil) != ok {
			t.Errorf("Skip, %d arrays: %v", n, err)
		}
		if _, _, err := AppendJSON(nil, in); (err == nil) != ok {
			t.Errorf("AppendJSON, %d arrays: %v", n, err)
		}
		text := strings.Repeat("[", n) + "1" + strings.Repeat("]", n)
		if _, err := FromJSON(nil, []byte(text)); (err == nil) != ok {
			t.Errorf("FromJSON, %d arrays: %v", n, err)
		}
	}
}

// TestEncodingIsBounded has values that no peer could read, or that never end.
func TestEncodingIsBounded(t *testing.T) {
	t.Parallel()
	list := zooList{}
	for range maxNesting - 1 {
		list = zooList{list}
	}
	if b, err := Append(nil, list); err != nil || !bytes.Equal(b, append(bytes.Repeat([]byte{0x91}, 1022), 0x90)) {
		t.Errorf("1,023 arrays: %v", err)
	}
	if _, err := Append(nil, zooList{list}); err == nil {
		t.Error("1,024 arrays were encoded")
	}
	cycle := &zooRec{}
	cycle.Next = cycle
	var self any
	self = &self
	turn := &zooEnum{}
	turn.Rec = turn
	m := map[string]any{}
	m["m"] = m
	for _, x := range []any{cycle, self, turn, m} {
		if _, err := Append(nil, x); err == nil {
			t.Errorf("a cycle of %T was encoded", x)
		}
	}
}

// TestDecodingOverwrites decodes into values that are not empty.
func TestDecodingOverwrites(t *testing.T) {
	t.Parallel()
	type part struct {
		A    *int
		B    []int
		C    map[string]int
		D    **int
		E    vecTaskID
		Keep string `tdl:"-"`
	}
	one := 1
	old := []int{1, 2, 3}
	x := part{&one, old, map[string]int{"a": 1}, ptr(&one), vecTaskID{Commit: &Unit{}}, "kept"}
	b, err := FromJSON(nil, []byte(`{"e":{"Index":7},"b":[9],"c":{"b":2}}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(b, &x); err != nil {
		t.Fatal(err)
	}
	want := part{nil, []int{9}, map[string]int{"b": 2}, nil, vecTaskID{Index: ptr(uint64(7))}, "kept"}
	if d := cmp.Diff(want, x); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if old[0] != 1 {
		t.Error("the old slice was written to")
	}
	s := "text"
	in, _ := Append(nil, []string{s})
	var out []string
	if _, err := Decode(in, &out); err != nil {
		t.Fatal(err)
	}
	clear(in)
	if out[0] != s {
		t.Error("a decoded string is a view of the input")
	}
}

// TestClaimsAllocateLittle decodes headers that claim much more than is there,
// or as much as the bytes could just hold. It does not run in parallel, because it
// measures the heap.
func TestClaimsAllocateLittle(t *testing.T) {
	type wide struct {
		A [1 << 10]byte `tdl:"-"`
		B uint8
	}
	claim := append([]byte{0xdd, 0x00, 0x7f, 0xff, 0x00}, make([]byte, 8<<20)...)
	nested := bytes.Repeat([]byte{0xdd, 0x00, 0x10, 0x00, 0x00}, 8<<20/5)
	for _, c := range []struct {
		target any
		in     []byte
	}{
		{new([]wide), claim}, {new([]string), claim}, {new([]zooOuter), claim}, {new(map[string]wide), claim},
		{new([]*wide), claim[:100]}, {new(zooList), nested}, {new([][][]uint64), nested}, {new(any), nested},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(c.in, c.target)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%T: accepted", c.target)
		}
		bytesUsed := after.TotalAlloc - before.TotalAlloc
		if limit := uint64(2*len(c.in) + 4<<20); bytesUsed > limit {
			t.Errorf("%T: %d bytes allocated for %d of input", c.target, bytesUsed, len(c.in))
		}
	}
}
