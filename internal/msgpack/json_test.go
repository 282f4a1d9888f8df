package msgpack

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestAppendJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"c0", "null"}, {"c2", "false"}, {"c3", "true"},
		{"05", "5"}, {"e0", "-32"}, {"cfffffffffffffffff", "18446744073709551615"}, {"d38000000000000000", "-9223372036854775808"},
		{"cb3ff0000000000000", "1.0"}, {"cb8000000000000000", "-0.0"}, {"ca3dcccccd", "0.1"}, {"cb3fb99999a0000000", "0.10000000149011612"},
		{"cb444b1ae4d6e2ef50", "1e+21"}, {"cb3eb0c6f7a0b5ed8d", "0.000001"}, {"cb3e7ad7f29abcaf48", "1e-07"}, {"cb7fefffffffffffff", "1.7976931348623157e+308"},
		{"ca7f7fffff", "3.4028235e+38"}, {"ca00000001", "1e-45"},
		{"cb7ff8000000000000", `"NaN"`}, {"ca7fc00000", `"NaN"`}, {"cb7ff0000000000000", `"Infinity"`}, {"caff800000", `"-Infinity"`},
		{"a0", `""`}, {"a46122625c", `"a\"b\\"`}, {"a6000a0d091f7f", `"\u0000\n\r\t\u001f` + "\x7f" + `"`}, {"a3e280a8", "\"\u2028\""}, {"a4f09f9880", `"😀"`},
		{"c403010aff", "[1,10,255]"}, {"c400", "[]"},
		{"90", "[]"}, {"9301a16190", `[1,"a",[]]`}, {"dc000101", "[1]"},
		{"80", "{}"}, {"82a16101a16290", `{"a":1,"b":[]}`},
		{"82a16101a16102", `{"a":1,"a":2}`}, {"8201a161a131a162", `{"1":"a","1":"b"}`},
		{"84c001c302ff03cb3ff800000000000004", `{"null":1,"true":2,"-1":3,"1.5":4}`},
		{"82cb7ff800000000000001caff80000002", `{"NaN":1,"-Infinity":2}`},
		{"8192a1610105", `{"[\"a\",1]":5}`}, {"81c4010105", `{"[1]":5}`}, {"8181a1610205", `{"{\"a\":2}":5}`},
		{"81818190c00105", `{"{\"8190c0\":1}":5}`},
		{"d405ff", `{"$ext":[5,[255]]}`}, {"c7020a0102", `{"$ext":[10,[1,2]]}`}, {"c80000fe", `{"$ext":[-2,[]]}`}, {"c90000000105ab", `{"$ext":[5,[171]]}`},
	} {
		b, err := hex.DecodeString(c.in)
		if err != nil {
			t.Fatal(c.in, err)
		}
		out, rest, err := AppendJSON([]byte("x"), append(b, 0xc1))
		if err != nil || string(out) != "x"+c.want || len(rest) != 1 {
			t.Errorf("%s: got %s, %x, %v; want %s", c.in, out, rest, err, c.want)
		}
		if !json.Valid(out[1:]) {
			t.Errorf("%s: %s is not JSON", c.in, out)
		}
	}
	for in, want := range map[string]string{
		"":             "expected a value, found the end of the bytes (offset 0)",
		"c1":           "expected a value, found the reserved byte c1 (offset 0)",
		"92a161a1ff":   "[1]: expected a value, found a string that is not UTF-8 (offset 3)",
		"81a17891a1":   `["x"][0]: expected a value, found a truncated string (offset 4)`,
		"81a1ff00":     "[key]: expected a value, found a string that is not UTF-8 (offset 1)",
		"ddffffffff01": "expected a complete array, found array of 4294967295 with 1 bytes left (offset 0)",
		"c9ffffffff00": "expected a value, found an ext value (offset 0)",
		"ca0000":       "expected a value, found a truncated float (offset 0)",
	} {
		b, _ := hex.DecodeString(in)
		out, rest, err := AppendJSON([]byte("x"), b)
		if err == nil || err.Error() != want || string(out) != "x" || rest != nil {
			t.Errorf("%s: got %s, %v; want %s", in, out, err, want)
		}
	}
	// Keys in keys in keys must not double in length at every level.
	deep := append(bytes.Repeat([]byte{0x81}, 1000), 0x80)
	deep = append(deep, make([]byte, 1000)...)
	out, _, err := AppendJSON(nil, deep)
	if err != nil || len(out) > 3*len(deep) {
		t.Errorf("%d bytes of JSON for %d, %v", len(out), len(deep), err)
	}
}

func TestFromJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"null", "c0"}, {" true\n", "c3"}, {"false", "c2"},
		{"0", "00"}, {"-0", "00"}, {"-1", "ff"}, {"127", "7f"}, {"128", "cc80"}, {"-33", "d0df"},
		{"18446744073709551615", "cfffffffffffffffff"}, {"-9223372036854775808", "d38000000000000000"},
		{"1.0", "cb3ff0000000000000"}, {"-0.0", "cb8000000000000000"}, {"1e0", "cb3ff0000000000000"}, {"1E+2", "cb4059000000000000"}, {"1e-400", "cb0000000000000000"},
		{"NaN", "cb7ff8000000000001"}, {"Infinity", "cb7ff0000000000000"}, {"[-Infinity]", "91cbfff0000000000000"},
		{`""`, "a0"}, {`"é"`, "a2c3a9"}, {`"\u00e9\n\/\"\\\b\f\r\t"`, "aac3a90a2f225c080c0d09"}, {`"\ud83d\ude00"`, "a4f09f9880"}, {`"\uFFFD` + "\ufffd" + `"`, "a6efbfbdefbfbd"},
		{"[]", "90"}, {"[ 1 , [ ] ,{} ]", "93019080"}, {"{}", "80"}, {`{"b":1,"a":{"x":[2]}}`, "82a16201a16181a1789102"}, {`{"a":1,"a":2}`, "82a16101a16102"},
		{"[" + strings.Repeat("1,", 15) + "[1]]", "dc0010" + strings.Repeat("01", 15) + "9101"},
	} {
		out, err := FromJSON([]byte{0xaa}, []byte(c.in))
		if err != nil || hex.EncodeToString(out) != "aa"+c.want {
			t.Errorf("%s: got %x, %v; want %s", c.in, out, err, c.want)
		}
	}
	for in, want := range map[string]string{
		"":                      "unexpected end, where a value should be (offset 0)",
		"  ":                    "unexpected end, where a value should be (offset 2)",
		"1 2":                   "unexpected '2' after the value (offset 2)",
		"nul":                   "unexpected 'n', where a value should be (offset 0)",
		"nulll":                 "unexpected 'l' after the value (offset 4)",
		"01":                    "unexpected '1' after the value (offset 1)",
		"-":                     "unexpected end, where a digit should be (offset 1)",
		"+1":                    "unexpected '+', where a value should be (offset 0)",
		"1.":                    "unexpected end, where a digit should be (offset 2)",
		".5":                    "unexpected '.', where a value should be (offset 0)",
		"1e":                    "unexpected end, where a digit should be (offset 2)",
		"18446744073709551616":  "the number 18446744073709551616 does not fit a 64-bit integer (offset 0)",
		"[-9223372036854775809": "the number -9223372036854775809 does not fit a 64-bit integer (offset 1)",
		"1e999":                 "the number 1e999 does not fit a 64-bit float (offset 0)",
		`"a`:                    "unexpected end in a string (offset 2)",
		`"a\`:                   "unexpected end in a string (offset 3)",
		`"\x"`:                  `unknown escape \x (offset 1)`,
		`"\u12g4"`:              `\u needs four hexadecimal digits (offset 1)`,
		`"\ud83d"`:              "surrogate without its other half (offset 1)",
		`"\ud83d\u0041"`:        "surrogate without its other half (offset 1)",
		`"a\ude00"`:             "surrogate without its other half (offset 2)",
		"\"\n\"":                "control character 0x0a in a string (offset 1)",
		"\"\xff\"":              "byte 0xff in a string is not UTF-8 (offset 1)",
		"\"\xed\xa0\x80\"":      "byte 0xed in a string is not UTF-8 (offset 1)",
		"\xef\xbb\xbf1":         "unexpected '\\ufeff', where a value should be (offset 0)",
		"\xff":                  "unexpected byte 0xff, where a value should be (offset 0)",
		"[1,]":                  "unexpected ']', where a value should be (offset 3)",
		"[1 2]":                 "unexpected '2', where ',' or ']' should be (offset 3)",
		"[1":                    "unexpected end, where ',' or ']' should be (offset 2)",
		"{1:2}":                 "unexpected '1', where a key should be (offset 1)",
		`{"a" 2}`:               "unexpected '2', where ':' should be (offset 5)",
		`{"a":1,}`:              "unexpected '}', where a key should be (offset 7)",
		"// c\n1":               "unexpected '/', where a value should be (offset 0)",
	} {
		out, err := FromJSON([]byte("kept"), []byte(in))
		var e *JSONError
		if !errors.As(err, &e) || err.Error() != "JSON: "+want || string(out) != "kept" {
			t.Errorf("%q: got %q, %v; want %s", in, out, err, want)
		}
	}
}
