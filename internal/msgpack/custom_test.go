package msgpack

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tinylib/msgp/msgp"
)

// celsius is a number of its own encoding: ten times the degrees.
type celsius struct{ deg float64 }

var errTooHot = errors.New("too hot")

func (c celsius) AppendTDL(dst []byte) ([]byte, error) {
	if c.deg > 1000 {
		return nil, errTooHot
	}
	return msgp.AppendUint64(dst, uint64(c.deg*10)), nil
}

func (c *celsius) DecodeTDL(b []byte) ([]byte, error) {
	var tenths uint16
	rest, err := Decode(b, &tenths)
	if err != nil {
		return nil, err
	}
	if tenths > 10_000 {
		return nil, errTooHot
	}
	c.deg = float64(tenths) / 10
	return rest, nil
}

// onlyAppends and onlyDecodes have one half; lazy does not do its work.
type (
	onlyAppends struct{}
	onlyDecodes struct{ N int }
	lazy        struct{}
)

func (*onlyAppends) AppendTDL(dst []byte) ([]byte, error) { return append(dst, 5), nil }
func (x *onlyDecodes) DecodeTDL(b []byte) ([]byte, error) { return Decode(b, &x.N) }
func (lazy) AppendTDL(dst []byte) ([]byte, error)         { return dst, nil }
func (*lazy) DecodeTDL(b []byte) ([]byte, error)          { return b, nil }

func TestCustomEncoding(t *testing.T) {
	t.Parallel()
	type room struct {
		Now  celsius
		Set  *celsius
		Week []celsius
		By   map[celsius]celsius
	}
	x := room{celsius{2}, nil, []celsius{{1}, {30}}, map[celsius]celsius{{30}: {1}, {1}: {2}}}
	b, err := Append(nil, x)
	if want := "9414c0920acd012c820a14cd012c0a"; err != nil || fmt.Sprintf("%x", b) != want {
		t.Fatalf("got %x, %v; want %s", b, err, want)
	}
	var back room
	if rest, err := Decode(b, &back); err != nil || len(rest) != 0 {
		t.Fatal(err)
	}
	if d := cmp.Diff(x, back, cmp.AllowUnexported(celsius{})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	var week []celsius
	if _, err := Decode([]byte{0xc4, 2, 10, 200}, &week); err != nil || week[1].deg != 20 {
		t.Errorf("from bin: %v, %v", week, err)
	}

	for _, c := range []struct {
		in     []byte
		target any
		want   string
	}{
		{[]byte{0x94, 0x14, 0xc0, 0x92, 10, 0xa1, 'x'}, new(room), `week[1]: expected uint16, found string "x" (offset 5)`},
		{[]byte{0x94, 0x14, 0xc0, 0x91, 0xcd, 0xff, 0xff}, new(room), `week[0]: too hot (offset 4)`},
		{[]byte{0x90}, new(onlyAppends), "msgpack: msgpack.onlyAppends has its own encoding but no DecodeTDL method (offset 0)"},
		{[]byte{0x91, 0x90}, new([]lazy), "[0]: expected a value, found a DecodeTDL of msgpack.lazy that read nothing (offset 1)"},
	} {
		_, err := Decode(c.in, c.target)
		if err == nil || err.Error() != c.want {
			t.Errorf("%x: got %v; want %s", c.in, err, c.want)
		}
	}
	_, err = Decode([]byte{0x91, 0xcd, 0xff, 0xff}, &week)
	if !errors.Is(err, errTooHot) {
		t.Errorf("the cause is lost: %v", err)
	}

	for _, c := range []struct {
		in   any
		want string
	}{
		{[]celsius{{1}, {2000}}, "[1]: too hot"},
		{onlyDecodes{}, "msgpack: msgpack.onlyDecodes has its own encoding but no AppendTDL method"},
		{[]lazy{{}}, "[0]: AppendTDL of msgpack.lazy appended nothing"},
	} {
		out, err := Append([]byte("kept"), c.in)
		if err == nil || err.Error() != c.want || string(out) != "kept" {
			t.Errorf("%T: got %q, %v; want %s", c.in, out, err, c.want)
		}
	}
	// A method on the pointer works for values that have no address.
	if b, err := Append(nil, map[string]onlyAppends{"a": {}}); err != nil || fmt.Sprintf("%x", b) != "81a16105" {
		t.Errorf("got %x, %v", b, err)
	}
	if _, err := CodecOf(reflect.TypeFor[onlyDecodes]()); err != nil {
		t.Error(err)
	}
}
