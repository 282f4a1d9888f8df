// Unprotected is spider-task-executor with some of its protections left out, as
// SPIDER_TEST_WITHOUT lists them, so that tests can show what each is there for.
package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spider-go/spider/internal/executor"
	"github.com/spider-go/spider/internal/loader"
)

var protections = map[string]executor.Protection{
	"stdio":      executor.ProtectStdio,
	"signals":    executor.ProtectSignals,
	"preemption": executor.ProtectPreemption,
	"parent":     executor.ProtectParent,
	"thread":     executor.ProtectThread,
	"limits":     executor.ProtectLimits,
}

func init() { executor.LockMainThread() }

func main() {
	var without executor.Protection
	for name := range strings.SplitSeq(os.Getenv("SPIDER_TEST_WITHOUT"), ",") {
		p, ok := protections[name]
		if !ok {
			fmt.Fprintf(os.Stderr, "SPIDER_TEST_WITHOUT: there is no protection %q\n", name)
			os.Exit(2)
		}
		without |= p
	}
	os.Exit(executor.Main(executor.Config{
		Open: func(log *slog.Logger) (executor.Runner, error) {
			return loader.New(os.Getenv(loader.EnvPackageDir), log)
		},
		Protect: loader.Protect,
		Without: without,
	}))
}
