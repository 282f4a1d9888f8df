// Stage builds the programs and the test and example packages into the folder it
// is given: what `make build` runs.
package main

import (
	"fmt"
	"os"

	"github.com/spider-go/spider/internal/tasktest"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: stage FOLDER")
		os.Exit(2)
	}
	built, err := tasktest.Stage(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "stage:", err)
		os.Exit(1)
	}
	if skipped, err := tasktest.BuildRust(built.Packages); err != nil {
		fmt.Fprintln(os.Stderr, "stage:", err)
		os.Exit(1)
	} else if skipped != "" {
		fmt.Fprintln(os.Stderr, "stage: the Rust example is not built:", skipped)
	}
	fmt.Println(built.Spider)
	fmt.Println(built.Executor)
	fmt.Println(built.Packages)
}
