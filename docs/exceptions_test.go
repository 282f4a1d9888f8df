package docs_test

import "golang.org/x/sys/unix"

// notRun lists what documents show and no test runs, and why: by document, the command or,
// for Go that is no file, the block's first line.
var notRun = map[string]map[string]string{
	"README.md": {
		"git clone https://github.com/spider-go/spider && cd spider": "the clone is there; the address is a placeholder",
		"make demo": "it builds all again; the programs that it builds are what runs here",
		"make test": "this is part of it",
	},
	"docs/ARCHITECTURE.md": {
		"spider run arith add 2 3": "the top of a picture",
	},
	"docs/PERFORMANCE.md": {
		"make bench": "it takes minutes; cmd/spider and internal/bench test it on fewer calls",
		"make bench AGAINST=/usr/local/bin/other-executor":                     "the same, and there is no other executor",
		"spider bench --against /usr/local/bin/other-executor":                 "the same",
		"spider bench --only flat --flat-calls 1000000":                        "it takes minutes",
		"make bench-compare OLD=main":                                          "it takes minutes; internal/bench/compare tests it",
		"make bench-compare":                                                   "the same",
		"build/bin/bench-compare -old v1.2 -new v1.3 -rounds 40 -quantile 0.5": "the same; the revisions are examples",
	},
}

// kernelHasLandlock asks the kernel.
func kernelHasLandlock() bool {
	_, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return errno == 0
}
