package bench

import (
	"io"
	"log/slog"
	"os"
	"slices"
	"testing"

	"github.com/spider-go/spider/internal/executor"
	"github.com/spider-go/spider/internal/protocol"
)

// envImpostor makes the test binary an executor: what it says is how that one
// behaves.
const envImpostor = "SPIDER_BENCH_TEST_IMPOSTOR"

func TestMain(m *testing.M) {
	Worker()
	if how := os.Getenv(envImpostor); how != "" {
		err := executor.Serve(os.Stdin, os.Stdout, &impostor{how: how}, protocol.DefaultMaxFrame, slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// impostor answers each task with its inputs, which is right for all that the
// report calls, until it has served enough.
type impostor struct {
	how    string
	served int
}

func (i *impostor) Run(e *protocol.Execute) protocol.Outcome {
	if i.served++; i.served <= 100 {
		return protocol.Outcome{Payload: e.Inputs}
	}
	switch i.how {
	case "wrong":
		answer := slices.Clone(e.Inputs)
		answer[len(answer)-1] ^= 1
		return protocol.Outcome{Payload: answer}
	case "failure":
		return executor.FailTask(protocol.TdlExecutionError, "no more")
	case "dead":
		os.Exit(7)
	case "damage":
		_, _ = os.Stdout.Write([]byte{0, 0, 0, 0})
	}
	return protocol.Outcome{Payload: e.Inputs}
}

func (i *impostor) Release() {}
