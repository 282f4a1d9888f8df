package msgpack

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeErrorTexts(t *testing.T) {
	t.Parallel()
	type item struct {
		Name  string
		Price float64
	}
	type order struct {
		Items []item
		By    map[string][]uint8
		ID    vecTaskID
	}
	json := func(text string) []byte {
		b, err := FromJSON(nil, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	long := strings.Repeat("é", 40)
	for _, c := range []struct {
		in     []byte
		target any
		want   string
	}{
		{json(`[[["a",1],["b","abc"]],{},"Commit"]`), new(order), `items[1].price: expected float, found string "abc" (offset 9)`},
		{json(`{"items":[],"by":{"x":[1,256]},"id":0}`), new(order), `by["x"][1]: expected uint8, found integer 256 (offset 16)`},
		{json(`[[],{},{"Index":-1}]`), new(order), `id.Index: expected uint64, found integer -1 (offset 10)`},
		{json(`[[],{},"Index"]`), new(order), `id: expected a map from Index to its value, found the name or index alone (offset 3)`},
		{json(`[[],{},"Foo"]`), new(order), `id: expected one of Index, Commit, Cleanup, found unknown variant "Foo" (offset 3)`},
		{json(`[[],{},9]`), new(order), `id: expected one of Index, Commit, Cleanup, found unknown variant integer 9 (offset 3)`},
		{json(`[[],{}]`), new(order), `expected an array of 3, found array of 2 (offset 0)`},
		{json(`{"items":[],"items":[]}`), new(order), `expected each field once, found field items again (offset 8)`},
		{json(`{"items":[]}`), new(order), `expected field by, found a map without it (offset 0)`},
		{json(`5`), new(order), `expected an array of 3 or a map of fields, found integer 5 (offset 0)`},
		{json(`null`), new(bool), `expected bool, found nil (offset 0)`},
		{json(`true`), new(string), `expected string, found true (offset 0)`},
		{json(`1.5`), new(int32), `expected int32, found float 1.5 (offset 0)`},
		{json(`"` + long + `"`), new(int), `expected int, found string "` + long[:40] + `"... (offset 0)`},
		{nil, new(int), `expected int, found the end of the bytes (offset 0)`},
		{[]byte{0x93, 1}, new([]int), `expected a complete array, found array of 3 with 1 bytes left (offset 0)`},
		{[]byte{0x92, 1, 0xcd}, new([]int), `[1]: expected int, found a truncated integer (offset 2)`},
		{[]byte{0xc4, 2, 1, 200}, new([]int8), `[1]: expected int8, found integer 200 (offset 3)`},
		{[]byte{0xc4, 2, 1, 200}, new([2]int8), `[1]: expected int8, found integer 200 (offset 3)`},
		{[]byte{0xc4, 2, 1, 200}, new([]string), `[0]: expected an array, found bin of 2 bytes (offset 0)`},
		{[]byte{0xd4, 1, 1}, new(any), `expected a value, found an ext value (offset 0)`},
		{[]byte{0xc1}, new([]any), `expected an array, found the reserved byte c1 (offset 0)`},
		{[]byte{0xa1, 0xff}, new(string), `expected string, found a string that is not UTF-8 (offset 0)`},
		{[]byte{0x81, 0x90, 1}, new(any), `[key]: expected a key that Go can compare, found array of 0 (offset 1)`},
		{[]byte{0x81, 0x90, 1}, new(map[any]int), `[key]: expected a key that Go can compare, found array of 0 (offset 1)`},
		{[]byte(strings.Repeat("\x91", 1024)), new(any), strings.Repeat("[0]", 16) + "..." + strings.Repeat("[0]", 16) +
			`: expected at most 1023 nested arrays and maps, found one more (offset 1023)`},
	} {
		rest, err := Decode(c.in, c.target)
		var e *DecodeError
		if !errors.As(err, &e) || err.Error() != c.want || rest != nil {
			t.Errorf("%x into %T:\ngot  %v\nwant %s", c.in, c.target, err, c.want)
		}
	}
}

func TestEncodeErrorTexts(t *testing.T) {
	t.Parallel()
	type inner struct {
		Color zooColor
		IDs   map[string][]vecTaskID
	}
	for _, c := range []struct {
		in   any
		want string
	}{
		{[]string{"a", "\xff"}, `[1]: the string "\xff" is not UTF-8`},
		{inner{Color: "Pink"}, `color: "Pink" is not one of Red, Green, Blue`},
		{inner{"Red", map[string][]vecTaskID{"x": {{}}}}, `ids["x"][0]: enum without a variant set: one of Index, Commit, Cleanup`},
		{vecTaskID{Index: ptr(uint64(1)), Commit: &Unit{}}, `enum with two variants set, Index and Commit`},
		{map[string]int{"\xff": 1}, `[key]: the string "\xff" is not UTF-8`},
		{vecExecutorError{TaskError: &vecTdlError{Custom: ptr("\xff")}}, `TaskError.Custom: the string "\xff" is not UTF-8`},
	} {
		out, err := Append([]byte("kept"), c.in)
		var e *EncodeError
		if !errors.As(err, &e) || err.Error() != c.want || string(out) != "kept" {
			t.Errorf("%v:\ngot  %v\nwant %s", c.in, err, c.want)
		}
	}
}

func TestDynamicValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		want any
	}{
		{"\xc0", nil},
		{"\xc3", true},
		{"\x05", int64(5)},
		{"\xff", int64(-1)},
		{"\xcf\x7f\xff\xff\xff\xff\xff\xff\xff", int64(1<<63 - 1)},
		{"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", uint64(1<<64 - 1)},
		{"\xca\x3f\xc0\x00\x00", float32(1.5)},
		{"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00", 1.5},
		{"\xa1a", "a"},
		{"\xc4\x01\x05", []byte{5}},
		{"\x90", []any{}},
		{"\x92\x01\x91\xc0", []any{int64(1), []any{nil}}},
		{"\x80", map[string]any{}},
		{"\x81\xa1a\x01", map[string]any{"a": int64(1)}},
		{"\x83\xa1a\x01\x02\xa1b\xa1c\xc0", map[any]any{"a": int64(1), int64(2): "b", "c": nil}},
		{"\x81\xc0\x01", map[any]any{nil: int64(1)}},
	} {
		x := any("old")
		if _, err := Decode([]byte(c.in), &x); err != nil || !reflect.DeepEqual(x, c.want) {
			t.Errorf("%x: got %#v, %v; want %#v", c.in, x, err, c.want)
			continue
		}
		if b, err := Append(nil, x); err != nil || c.in[0] != 0xc4 && c.in[0] != 0x83 && c.in[0] != 0xcf && string(b) != c.in {
			t.Errorf("%x: encoded again %x, %v", c.in, b, err)
		}
	}
	var list []any
	if _, err := Decode([]byte{0xc4, 2, 1, 200}, &list); err != nil || !reflect.DeepEqual(list, []any{int64(1), int64(200)}) {
		t.Errorf("[]any from bin: %v, %v", list, err)
	}
	b, err := Append(nil, map[any]any{"b": 1, 2: 2, "a": 3, nil: 4, -1: 5})
	if err != nil || string(b) != "\x85\x02\x02\xa1a\x03\xa1b\x01\xc0\x04\xff\x05" {
		t.Errorf("map[any]any: %x, %v", b, err)
	}
}
