package msgpack

import (
	"fmt"
	"reflect"
	"testing"
)

// TestAllocations covers what tasks pass around most, by the way tdl takes:
// encoding into a buffer that is large enough allocates nothing, and decoding only
// what the value itself is made of.
func TestAllocations(t *testing.T) {
	type flat struct {
		A uint64
		B int32
		C float32
		D float64
		E bool
		F [4]uint16
	}
	type named struct {
		Name string
		flat
		Data []byte
	}
	x := flat{1, -2, 3, 4, true, [4]uint16{1, 2, 3, 4}}
	for _, c := range []struct {
		value any
		want  float64 // allocations of decoding
	}{
		{true, 0},
		{int(-5), 0},
		{int8(-5), 0},
		{int64(1) << 60, 0},
		{uint8(200), 0},
		{uint64(1) << 63, 0},
		{float32(1.5), 0},
		{1.5, 0},
		{Unit{}, 0},
		{newInt(300), 0},
		{zooColor("Red"), 0},
		{"", 0},
		{"a string", 1},
		{[]byte{}, 0},
		{[]byte{1, 200, 3}, 1},
		{make([]byte, 1<<16), 1},
		{[]bool{true}, 1},
		{[]int64{1, -1, 1 << 40}, 1},
		{make([]int64, 10_000), 1},
		{make([]float32, 10_000), 1},
		{[]uint64{1, 1 << 40}, 1},
		{[]string{"a", "bc"}, 3},
		{[3]float64{1, 2, 3}, 0},
		{struct{}{}, 0},
		{x, 0},
		{named{"n", x, []byte{1}}, 2},
		{zooTuple2{V: 1, S: "s"}, 1},
		{ptr(uint64(5)), 1},
		{[]flat{x, x}, 1},
	} {
		typ := reflect.TypeOf(c.value)
		t.Run(fmt.Sprint(typ), func(t *testing.T) {
			codec, err := CodecOf(typ)
			if err != nil {
				t.Fatal(err)
			}
			addressed := reflect.New(typ).Elem()
			addressed.Set(reflect.ValueOf(c.value))
			for _, v := range []reflect.Value{addressed, reflect.ValueOf(c.value)} {
				b, err := codec.Append(nil, v)
				if err != nil {
					t.Fatal(err)
				}
				if n := testing.AllocsPerRun(20, func() { b, _ = codec.Append(b[:0], v) }); n != 0 {
					t.Errorf("encoding, addressed %v: %v allocations", v.CanAddr(), n)
				}
				back := reflect.New(typ).Elem()
				if n := testing.AllocsPerRun(20, func() {
					if _, err := codec.Decode(b, back); err != nil {
						t.Fatal(err)
					}
				}); n > c.want {
					t.Errorf("decoding: %v allocations, want %v", n, c.want)
				}
			}
		})
	}
}
