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
}

// kernelHasLandlock asks the kernel.
func kernelHasLandlock() bool {
	_, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	return errno == 0
}
