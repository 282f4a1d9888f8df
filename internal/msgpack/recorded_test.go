package msgpack

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

// answer decodes b as a type of the zoo and encodes the result again, in the
// words of testdata/rmp_serde.txt.
func answer(name string, b []byte) string {
	v := reflect.New(zoo[name]).Elem()
	rest, err := DecodeValue(b, v)
	if err != nil {
		return "err"
	}
	out, err := AppendValue(nil, v)
	if err != nil {
		return "encoding: " + err.Error()
	}
	return fmt.Sprintf("ok %x %d", out, len(b)-len(rest))
}

func TestRecordedRustAnswers(t *testing.T) {
	t.Parallel()
	f, err := os.Open("testdata/rmp_serde.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := 0
	for in := bufio.NewScanner(f); in.Scan(); {
		if strings.HasPrefix(in.Text(), "#") {
			continue
		}
		part := strings.SplitN(in.Text(), " ", 3)
		b, err := hex.DecodeString(part[1])
		if err != nil || zoo[part[0]] == nil {
			t.Fatalf("bad row %q", in.Text())
		}
		rows++
		if got := answer(part[0], b); got != part[2] {
			t.Errorf("%s %s: got %s, want %s", part[0], part[1], got, part[2])
		}
	}
	if rows < 1000 {
		t.Errorf("only %d rows", rows)
	}
}
