package msgpack

import "testing"

func TestMapOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   any
		want string
	}{
		{map[int]int{1: 0, -1: 0, 300: 0, -300: 0}, `{"-300":0,"-1":0,"1":0,"300":0}`},
		{map[uint8]int{200: 0, 3: 0}, `{"3":0,"200":0}`},
		{map[string]int{"b": 0, "aa": 0, "é": 0, "": 0, "B": 0}, `{"":0,"B":0,"aa":0,"b":0,"é":0}`},
		{map[bool]int{true: 0, false: 0}, `{"false":0,"true":0}`},
		{map[float64]int{1.5: 0, -2: 0}, `{"-2.0":0,"1.5":0}`},
		{map[zooColor]int{"Blue": 0, "Red": 0}, `{"Red":0,"Blue":0}`},
		{map[zooKey]int{{1, "b"}: 0, {1, "a"}: 0, {0, "z"}: 0}, `{"[0,\"z\"]":0,"[1,\"a\"]":0,"[1,\"b\"]":0}`},
		{map[[2]int8]int{{-1, 5}: 0, {-1, -5}: 0, {-2, 9}: 0}, `{"[-2,9]":0,"[-1,-5]":0,"[-1,5]":0}`},
	} {
		for range 5 {
			b, err := Append(nil, c.in)
			if err != nil {
				t.Fatal(err)
			}
			if text, _, err := AppendJSON(nil, b); err != nil || string(text) != c.want {
				t.Errorf("got %s, %v; want %s", text, err, c.want)
			}
		}
	}
}
