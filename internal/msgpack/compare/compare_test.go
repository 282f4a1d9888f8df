package compare

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/tinylib/msgp/msgp"
	vmihailenco "github.com/vmihailenco/msgpack/v5"

	"github.com/spider-go/spider/internal/msgpack"
)

var (
	flat = Flat{ID: 1 << 40, Count: -5, Ratio: 0.25, Weight: 1.5, Done: true, Name: "a name of a thing"}

	ints = func() (list Ints) {
		r := rand.New(rand.NewPCG(1, 2))
		for range 1000 { // of all sizes
			list = append(list, int64(r.Uint64()>>r.IntN(64)))
		}
		return list
	}()

	paths = func() (list Paths) {
		for i := range 100 {
			list = append(list, fmt.Sprintf("/mnt/archives/2025/11/%04d/part.zst", i))
		}
		return list
	}()

	// Many, or the processor would learn which bytes come next.
	blobs = func() (list []Blob) {
		r := rand.New(rand.NewPCG(3, 4))
		for range 256 {
			b := make(Blob, 4<<10)
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			list = append(list, b)
		}
		return list
	}()

	order = func() Order {
		o := Order{ID: 77, Buyer: "somebody", Notes: []string{"by hand", "not before noon"}}
		for i := range 20 {
			o.Items = append(o.Items, Item{fmt.Sprint("part-", i), uint32(i * i), 9.99, []string{"small", "blue"}})
		}
		return o
	}()

	counts = func() Counts {
		m := Counts{}
		for i := range 100 {
			m[fmt.Sprintf("counter-%d", i)] = int64(i * i * i)
		}
		return m
	}()
)

// generated is what the generator gives a pointer to a T.
type generated[T any] interface {
	*T
	msgp.Marshaler
	msgp.Unmarshaler
}

// BenchmarkCodecs has names of the form direction/value/codec.
func BenchmarkCodecs(b *testing.B) {
	measure(b, "flat struct", flat)
	measure(b, "1000 int64", ints)
	measure(b, "100 paths", paths)
	measure(b, "4 KiB bytes", blobs...)
	measure(b, "nested struct", order)
	measure(b, "map of 100", counts)
}

// measure takes the values in turn.
func measure[T any, P generated[T]](b *testing.B, name string, values ...T) {
	run := func(codec string, encode func(dst []byte, x *T) ([]byte, error), decode func(in []byte, y *T) error) {
		var inputs [][]byte
		for i := range values {
			out, err := encode(nil, &values[i])
			if err != nil {
				b.Fatal(err)
			}
			inputs = append(inputs, bytes.Clone(out))
			var y T
			if err := decode(inputs[i], &y); err != nil || !reflect.DeepEqual(y, values[i]) {
				b.Fatalf("%s: %s: got %v, %v", name, codec, y, err)
			}
		}
		b.Run("encode/"+name+"/"+codec, func(b *testing.B) {
			out := make([]byte, 0, 64<<10)
			for i := 0; b.Loop(); i++ {
				if _, err := encode(out, &values[i%len(values)]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("decode/"+name+"/"+codec, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if err := decode(inputs[i%len(inputs)], new(T)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}

	codec, err := msgpack.CodecOf(reflect.TypeFor[T]())
	if err != nil {
		b.Fatal(err)
	}
	run("ours", func(dst []byte, x *T) ([]byte, error) {
		return codec.Append(dst, reflect.ValueOf(x).Elem())
	}, func(in []byte, y *T) error {
		_, err := codec.Decode(in, reflect.ValueOf(y).Elem())
		return err
	})

	var buf bytes.Buffer
	enc := vmihailenco.NewEncoder(&buf)
	enc.UseArrayEncodedStructs(true)
	enc.UseCompactInts(true)
	var reader bytes.Reader
	dec := vmihailenco.NewDecoder(&reader)
	run("vmihailenco", func(_ []byte, x *T) ([]byte, error) {
		buf.Reset()
		err := enc.Encode(x)
		return buf.Bytes(), err
	}, func(in []byte, y *T) error {
		reader.Reset(in)
		dec.Reset(&reader)
		return dec.Decode(y)
	})

	run("tinylib", func(dst []byte, x *T) ([]byte, error) {
		return P(x).MarshalMsg(dst)
	}, func(in []byte, y *T) error {
		_, err := P(y).UnmarshalMsg(in)
		return err
	})
}
