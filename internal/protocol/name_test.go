package protocol

import "testing"

func TestBadPackageName(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]bool{
		"a": false, "...": false, "a.b-c_d": false, "ä": false, "lib a": false,
		"": true, ".": true, "..": true, "/": true, "a/b": true, "../a": true, "/a": true, "a\x00": true, "a\xff": true,
	} {
		if reason := BadPackageName(name); (reason != "") != bad {
			t.Errorf("%q: %q", name, reason)
		}
	}
}
