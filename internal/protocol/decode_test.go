package protocol

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The tables below are what rmp-serde 1.3.1 does with the same bytes.

func TestDecodeTdlError(t *testing.T) {
	t.Parallel()
	const custom = "a6437573746f6d" // the str "Custom"
	for _, test := range []struct {
		hex  string
		want TdlVariant // with the message "m"; "" if rejected
	}{
		// variants by name
		{"81" + custom + "a16d", TdlCustom},
		{"81d906437573746f6da16d", TdlCustom},
		{"81da0006437573746f6da16d", TdlCustom},
		{"81db00000006437573746f6da16d", TdlCustom},
		{"81c406437573746f6da16d", TdlCustom},
		{"81c50006437573746f6da16d", TdlCustom},
		{"81c600000006437573746f6da16d", TdlCustom},
		{"81a3466f6fa16d", ""},       // unknown
		{"81a0a16d", ""},             // empty
		{"81c400a16d", ""},           // empty
		{"81a6637573746f6da16d", ""}, // "custom"
		{"81a1ffa16d", ""},           // not UTF-8

		// variants by index
		{"8100a16d", TdlTaskNotFound},
		{"8104a16d", TdlInvalidTaskContext},
		{"8105a16d", TdlCustom},
		{"81cc05a16d", TdlCustom},
		{"81cd0005a16d", TdlCustom},
		{"81ce00000005a16d", TdlCustom},
		{"81cf0000000000000005a16d", TdlCustom},
		{"8106a16d", ""},
		{"81cfffffffffffffffffa16d", ""},
		{"81d005a16d", ""}, // signed forms
		{"81d10005a16d", ""},
		{"81d200000005a16d", ""},
		{"81d30000000000000005a16d", ""},
		{"81ffa16d", ""},

		// other keys
		{"81c0a16d", ""},
		{"81c3a16d", ""},
		{"81ca00000000a16d", ""},
		{"8190a16d", ""},
		{"8180a16d", ""},
		{"81d40000a16d", ""},
		{"81c1a16d", ""},

		// the map around them
		{"de000105a16d", TdlCustom},
		{"df0000000105a16d", TdlCustom},
		{"80", ""},
		{"8205a16d05a16d", ""},
		{"dfffffffff05a16d", ""},
		{custom, ""}, // the bare variant
		{"05", ""},
		{"9205a16d", ""},
		{"c0", ""},
		{"c1", ""},

		// messages
		{"8105d9016d", TdlCustom},
		{"8105c4016d", TdlCustom},
		{"8105a1ff", ""}, // not UTF-8
		{"8105c401ff", ""},
		{"8105c0", ""},
		{"810505", ""},
		{"810591a16d", ""},
		{"810581a16dc0", ""},
		{"8105c1", ""},

		// cut short, and more than needed
		{"", ""},
		{"81", ""},
		{"de00", ""},
		{"df000000", ""},
		{"81a643757374", ""},
		{"81cd00", ""},
		{"8105", ""},
		{"8105a56d", ""},
		{"8105dbffffffff6d", ""},
		{"8105c6ffffffff6d", ""},
		{"8105a16dffc1", TdlCustom},
	} {
		b := unhex(t, test.hex)
		got, err := DecodeTdlError(b)
		if test.want == "" {
			if err == nil {
				t.Errorf("%s: accepted as %+v", test.hex, got)
				continue
			}
			if got != nil {
				t.Errorf("%s: an error and a value", test.hex)
			}
			checkMessageError(t, err, b)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.hex, err)
		} else if diff := cmp.Diff(&TdlError{test.want, "m"}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.hex, diff)
		}
	}
}

func TestDecodeExecutorError(t *testing.T) {
	t.Parallel()
	task := func(v ExecutorVariant) *ExecutorError {
		return &ExecutorError{Variant: v, Task: &TdlError{TdlCustom, "m"}}
	}
	for _, test := range []struct {
		hex  string
		want *ExecutorError // nil if rejected
	}{
		{"8100a16d", &ExecutorError{Variant: InvalidLibrary, Message: "m"}},
		{"8106c4016d", &ExecutorError{Variant: ErrorPayloadDeserializationFailure, Message: "m"}},
		{"8107a16d", nil},
		{"81048105a16d", task(TaskError)},
		{"81058105a16d", task(PackageInitError)},
		{"8104a6437573746f6d", nil}, // the bare variant inside
		{"8104a16d", nil},
		{"8105c0", nil},
		{"8104", nil},
		{"b3496e636f6d70617469626c6556657273696f6e", nil}, // the bare variant
	} {
		b := unhex(t, test.hex)
		got, err := DecodeExecutorError(b)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", test.hex, err, diff)
		}
		if test.want == nil {
			checkMessageError(t, err, b)
		}
	}
}

// incompatible is an IncompatibleVersion up to its body.
const incompatible = "\x81\x01"

func TestDecodeVersions(t *testing.T) {
	t.Parallel()
	byName := ""
	for i, key := range versionKeys {
		byName += fixstr(key) + string([]byte{byte(i)})
	}
	byBin := ""
	for i, key := range versionKeys {
		byBin += "\xc4" + string([]byte{byte(len(key))}) + key + string([]byte{byte(i)})
	}
	counted := &ExecutorError{
		Variant: IncompatibleVersion, Package: Version{0, 1, 2}, Executor: Version{3, 4, 5},
	}
	nested := func(n int) string { return strings.Repeat("\x91", n) + "\xc0" }
	for _, test := range []struct {
		name, body string
		ok         bool
	}{
		{"array", "\x96\x00\x01\x02\x03\x04\x05", true},
		{"array 16", "\xdc\x00\x06\x00\x01\x02\x03\x04\x05", true},
		{"array 32", "\xdd\x00\x00\x00\x06\x00\x01\x02\x03\x04\x05", true},
		{"array, any integers", "\x96\xd0\x00\xcc\x01\xcd\x00\x02\xd1\x00\x03\xce\x00\x00\x00\x04\xd3\x00\x00\x00\x00\x00\x00\x00\x05", true},
		{"array of 5", "\x95\x00\x01\x02\x03\x04", false},
		{"array of 7", "\x97\x00\x01\x02\x03\x04\x05\x06", false},
		{"array of 0", "\x90", false},
		{"array cut short", "\x96\x00\x01", false},
		{"array header cut short", "\xdd\x00\x00", false},
		{"number too large", "\x96\x00\x01\x02\x03\x04\xcf\x00\x00\x00\x01\x00\x00\x00\x00", false},
		{"number negative", "\x96\x00\x01\x02\x03\x04\xff", false},
		{"number negative, 64 bits", "\x96\x00\x01\x02\x03\x04\xd3\xff\xff\xff\xff\xff\xff\xff\xff", false},
		{"number float", "\x96\x00\x01\x02\x03\x04\xca\x40\xa0\x00\x00", false},
		{"number nil", "\x96\x00\x01\x02\x03\x04\xc0", false},
		{"number str", "\x96\x00\x01\x02\x03\x04\xa15", false},

		{"bin", "\xc4\x06\x00\x01\x02\x03\x04\x05", true},
		{"bin, more", "\xc5\x00\x08\x00\x01\x02\x03\x04\x05\x06\x07", true},
		{"bin, fewer", "\xc4\x05\x00\x01\x02\x03\x04", false},
		{"bin cut short", "\xc4\x06\x00\x01\x02\x03\x04", false},
		{"str", "\xa6abcdef", false},
		{"nil", "\xc0", false},
		{"nothing", "", false},
		{"ext", "\xc7\x06\x00\x00\x01\x02\x03\x04\x05", false},

		{"map by name", "\x86" + byName, true},
		{"map 16 by name", "\xde\x00\x06" + byName, true},
		{"map 32 by name", "\xdf\x00\x00\x00\x06" + byName, true},
		{"map by name in bin", "\x86" + byBin, true},
		{"map by index", "\x86\x05\x05\x04\x04\x03\x03\x02\x02\x01\x01\x00\x00", true},
		{"map by index, any unsigned", "\x86\xcc\x05\x05\xcd\x00\x04\x04\xce\x00\x00\x00\x03\x03" +
			"\xcf\x00\x00\x00\x00\x00\x00\x00\x02\x02\x01\x01\x00\x00", true},
		{"map by signed index", "\x86\xd0\x05\x05\x04\x04\x03\x03\x02\x02\x01\x01\x00\x00", false},
		{"map by name and index", "\x86" + byName[:len(byName)-len("?exe_patch?")] + "\x05\x05", true},
		{"duplicate", "\x87" + byName + "\x00\x00", false},
		{"missing", "\x85" + byName[:len(byName)-len("?exe_patch?")], false},
		{"missing, all", "\x80", false},
		{"map of 2^32-1", "\xdf\xff\xff\xff\xff" + byName, false},
		{"map cut short", "\x86" + byName[:len(byName)-1], false},
		{"map header cut short", "\xde\x00", false},

		{"unknown name", "\x87" + byName + "\xa3foo\xc0", true},
		{"unknown name first", "\x87\xa3foo\xc0" + byName, true},
		{"unknown name, not UTF-8", "\x87" + byName + "\xa1\xff\xc0", true},
		{"unknown name, empty", "\x87" + byName + "\xa0\xc0", true},
		{"unknown name in bin", "\x87" + byName + "\xc4\x01\xff\xc0", true},
		{"unknown name twice", "\x88" + byName + "\xa3foo\xc0\xa3foo\xc0", true},
		{"unknown index", "\x87" + byName + "\x06\xc0", true},
		{"unknown index, largest", "\x87" + byName + "\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xc0", true},
		{"key negative", "\x87" + byName + "\xff\xc0", false},
		{"key nil", "\x87" + byName + "\xc0\xc0", false},
		{"key bool", "\x87" + byName + "\xc3\xc0", false},
		{"key float", "\x87" + byName + "\xca\x00\x00\x00\x00\xc0", false},
		{"key array", "\x87" + byName + "\x90\xc0", false},
		{"key map", "\x87" + byName + "\x80\xc0", false},
		{"key ext", "\x87" + byName + "\xd4\x00\x00\xc0", false},
		{"key reserved", "\x87" + byName + "\xc1\xc0", false},

		{"skipped, 1022 deep", "\x87" + byName + "\x06" + nested(1022), true},
		{"skipped, 1023 deep", "\x87" + byName + "\x06" + nested(1023), false},
		{"skipped, 100000 deep", "\x87" + byName + "\x06" + nested(100000), false},
		{"skipped, deep as a map key", "\x87" + byName + "\x06" + strings.Repeat("\x81", 100000), false},
		{"skipped, ext counts", "\x87" + byName + "\x06" + strings.Repeat("\x91", 1021) + "\xd4\x00\x00", true},
		{"skipped, ext counts, too deep", "\x87" + byName + "\x06" + strings.Repeat("\x91", 1022) + "\xd4\x00\x00", false},
	} {
		b := []byte(incompatible + test.body)
		got, err := DecodeExecutorError(b)
		if !test.ok {
			if err == nil {
				t.Errorf("%s: accepted as %+v", test.name, got)
				continue
			}
			checkMessageError(t, err, b)
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if diff := cmp.Diff(counted, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// fixstr returns the msgpack str of a short text.
func fixstr(s string) string { return string([]byte{0xa0 | byte(len(s))}) + s }

// Every msgpack form can stand under an unknown key, and each of them cut short
// is an error.
func TestDecodeSkips(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		"\x7f", "\xe0", "\xff", "\xc0", "\xc2", "\xc3",
		"\xcc\x00", "\xcd\x00\x00", "\xce\x00\x00\x00\x00", "\xcf\x00\x00\x00\x00\x00\x00\x00\x00",
		"\xd0\x00", "\xd1\x00\x00", "\xd2\x00\x00\x00\x00", "\xd3\x00\x00\x00\x00\x00\x00\x00\x00",
		"\xca\x00\x00\x00\x00", "\xcb\x00\x00\x00\x00\x00\x00\x00\x00",
		"\xa0", "\xa2\xff\xff", "\xbf" + strings.Repeat("x", 31),
		"\xd9\x01x", "\xda\x00\x01x", "\xdb\x00\x00\x00\x01x",
		"\xc4\x01x", "\xc5\x00\x01x", "\xc6\x00\x00\x00\x01x",
		"\xd4\x00x", "\xd5\x00xx", "\xd6\x00xxxx", "\xd7\x00xxxxxxxx", "\xd8\x00" + strings.Repeat("x", 16),
		"\xc7\x02\x00xx", "\xc8\x00\x02\x00xx", "\xc9\x00\x00\x00\x02\x00xx", "\xc7\x00\x00",
		"\x90", "\x92\x01\xa1x", "\xdc\x00\x01\x01", "\xdd\x00\x00\x00\x01\x01",
		"\x80", "\x81\x90\x80", "\xde\x00\x01\x01\x02", "\xdf\x00\x00\x00\x01\x01\x02",
	} {
		start := incompatible + "\x87\x06"
		end := "\x00\x00\x01\x01\x02\x02\x03\x03\x04\x04\x05\x05"
		if _, err := DecodeExecutorError([]byte(start + value + end)); err != nil {
			t.Errorf("%x: %v", value, err)
		}
		for cut := range len(value) {
			if e, err := DecodeExecutorError([]byte(start + value[:cut])); err == nil {
				t.Errorf("%x cut to %d bytes: accepted as %v", value, cut, e)
			} else {
				checkMessageError(t, err, []byte(start+value[:cut]))
			}
		}
	}
	for _, value := range []string{
		"\xc1", "\x91\xc1",
		"\xdb\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff\x00", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff",
	} {
		b := []byte(incompatible + "\x87\x06" + value)
		if e, err := DecodeExecutorError(b); err == nil {
			t.Errorf("%x: accepted as %v", value, e)
		} else {
			checkMessageError(t, err, b)
		}
	}
}

func TestDecodeErrorText(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ in, want string }{
		{"", "ExecutorError: variant: a map of one entry is cut short (0 bytes left) at offset 0"},
		{"\x81\xa3Foo\xa1m", `ExecutorError: variant: unknown variant "Foo" at offset 1`},
		{"\x81\x09\xa1m", "ExecutorError: variant: unknown variant index 9 at offset 1"},
		{"\x82", "ExecutorError: variant: wants a map of one entry, not of 2, at offset 0"},
		{"\x81\x00\xc0", "ExecutorError: message: wants a string, not marker 0xc0, at offset 2"},
		{"\x81\x01\x96\x01\x02\xff", "ExecutorError: pkg_patch: wants a number from 0 to 4294967295, not marker 0xff, at offset 5"},
	} {
		if _, err := DecodeExecutorError([]byte(test.in)); err == nil || err.Error() != test.want {
			t.Errorf("%x: %q, want %q", test.in, err, test.want)
		}
	}
	_, err := DecodeTdlError([]byte("\x81\xdb\x00\x10\x00\x00" + strings.Repeat("x", 1<<20) + "\xa1m"))
	if err == nil || len(err.Error()) > 200 {
		t.Errorf("a long name gives %.300v", err)
	}
}

func BenchmarkDecodeExecutorError(b *testing.B) {
	data := (&ExecutorError{Variant: TaskError, Task: &TdlError{TdlExecutionError, "division by zero"}}).Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeExecutorError(data); err != nil {
			b.Fatal(err)
		}
	}
}

func FuzzDecodeTdlError(f *testing.F) {
	for _, variant := range tdlVariants {
		f.Add((&TdlError{variant, "message"}).Append(nil))
	}
	f.Add([]byte("\x81\x05\xc4\x01m"))
	f.Add([]byte("\xdf\x00\x00\x00\x01\xcc\x05\xdb\x00\x00\x00\x01m"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeTdlError(b)
		if err != nil {
			checkMessageError(t, err, b)
			return
		}
		again, err := DecodeTdlError(e.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, again); diff != "" {
			t.Errorf("%x (-first +again):\n%s", b, diff)
		}
		_ = e.Error()
	})
}

func FuzzDecodeExecutorError(f *testing.F) {
	for _, variant := range executorVariants {
		f.Add((&ExecutorError{Variant: variant, Message: "message"}).Append(nil))
	}
	f.Add([]byte(incompatible + "\x87\x06\x91\xc7\x01\x00x\x00\x00\x01\x01\x02\x02\x03\x03\x04\x04\x05\x05"))
	f.Add([]byte(incompatible + "\x86\xa9pkg_major\x00\xa9pkg_minor\x01\x02\x02\x03\x03\x04\x04\x05\x05"))
	f.Add([]byte(incompatible + "\xc4\x06\x00\x01\x02\x03\x04\x05"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := DecodeExecutorError(b)
		if err != nil {
			checkMessageError(t, err, b)
			return
		}
		again, err := DecodeExecutorError(e.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, again); diff != "" {
			t.Errorf("%x (-first +again):\n%s", b, diff)
		}
		_ = e.Error()
	})
}
