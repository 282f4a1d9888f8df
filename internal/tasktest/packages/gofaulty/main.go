// Gofaulty is a Go package that is registered wrongly in every way at once, but for
// its name.
package main

import (
	"github.com/spider-go/spider/tdl"
	_ "github.com/spider-go/spider/tdl/cshared"
)

func init() {
	tdl.Register(tdl.Package{
		Name: "gofaulty",
		Init: func() error { panic("init runs in spite of the faults") },
		Tasks: []tdl.Task{
			tdl.Func("", func() error { return nil }),
			tdl.Func("twice", func() error { return nil }),
			tdl.Func("twice", func() error { return nil }),
			tdl.Func("channel", func(struct{ Deep []struct{ Field chan int } }) error { return nil }),
			tdl.Func("no_error", func(int) int { return 0 }),
			tdl.Func("params", func(int) error { return nil }, tdl.Params("a", "b")),
			tdl.Func("doc", func(int) error { return nil }, tdl.Doc("two\nlines")),
		},
	})
	tdl.Register(tdl.Package{Name: "another"})
}

func main() { tdl.Main() }
