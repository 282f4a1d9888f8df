package pool_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/pool"
)

// behaviours are executors, from well-behaved to broken. Each runs in a process
// of its own, with the protocol on stdin and stdout.
var behaviours = map[string]func(){
	"echo": func() { serve(echo) },

	"prints much and aborts": func() {
		receive()
		for i := range 1000 {
			fmt.Fprintln(os.Stderr, "line", i)
		}
		fmt.Fprintln(os.Stderr, "the reason")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	},

	// Not an executor, but a program that uses the pool and loses the statuses of
	// its children.
	"ignores SIGCHLD": func() {
		signal.Ignore(syscall.SIGCHLD)
		p, err := pool.StartProcess(pool.ProcessConfig{Executor: "/bin/cat"})
		if err != nil {
			panic(err)
		}
		p.Kill("enough")
		exit := p.Wait()
		p.Close()
		fmt.Println(exit.Unknown, exit.Killed)
	},

	// Silence.
	"never reads":              hang,
	"reads and never answers":  func() { _, _ = io.Copy(io.Discard, os.Stdin); hang() },
	"stops itself":             func() { _ = syscall.Kill(os.Getpid(), syscall.SIGSTOP); hang() },
	"half an answer and hangs": func() { receive(); write(half()); hang() },
	"an answer in drips": func() {
		receive()
		// Always some progress, so that only one clock over the whole can end it.
		write(header(1 << 20))
		for {
			write([]byte{0})
			time.Sleep(time.Millisecond)
		}
	},

	// Nonsense.
	"text on stdout":  func() { receive(); write([]byte("Segmentation fault, or so\n")); hang() },
	"oversize header": func() { receive(); write(header(protocol.DefaultMaxFrame + 1)); hang() },
	"empty frame":     func() { receive(); write(header(0)); hang() },
	"bad tag":         func() { receive(); write(frame([]byte{9, 0, 0, 0, 0, 0, 0, 0})); hang() },
	"bad outcome tag": func() { receive(); write(frame([]byte{0, 0, 0, 0, 2, 0, 0, 0})); hang() },
	"outputs past the end": func() {
		receive()
		body := protocol.AppendResponse(nil, protocol.Outcome{Payload: []byte("abc")}, 0)[protocol.HeaderSize:]
		binary.LittleEndian.PutUint64(body[8:], 1<<40)
		write(frame(body))
		hang()
	},
	"undecodable error": func() {
		receive()
		write(protocol.AppendResponse(nil, protocol.Outcome{Failure: true, Payload: []byte{0xc1}}, 0))
		hang()
	},
	"unknown error": func() {
		receive()
		write(protocol.AppendResponse(nil, protocol.Outcome{Failure: true, Payload: []byte("\x81\xa4Nope\xa1x")}, 0))
		hang()
	},
	"two answers at once": func() {
		for {
			answer := protocol.AppendResponse(nil, protocol.Outcome{Payload: bytes.Clone(receive().Inputs)}, 0)
			write(append(answer, answer...))
		}
	},

	"claims shared memory": func() {
		for {
			claimed, _ := strconv.Atoi(string(receive().Task))
			write(protocol.AppendResponseShared(nil, protocol.Outcome{Payload: make([]byte, claimed)}, 0))
		}
	},

	// Ends.
	"exits at once":           func() {},
	"exits at once with 3":    func() { os.Exit(3) },
	"reads and exits":         func() { receive() },
	"half an answer and ends": func() { receive(); write(half()) },
	"half a header and ends":  func() { receive(); write(header(100)[:2]) },
	"answers and ends":        func() { write(answer(echo(receive()))) },
	"closes stdout and lives": func() { receive(); os.Stdout.Close(); hang() },
	"closes stdin and lives":  func() { os.Stdin.Close(); say("closed"); hang() },
	"last words": func() {
		receive()
		say("first", "second")
		fmt.Fprint(os.Stderr, "third without a line end")
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		hang()
	},

	// Much on stderr, before, between and after.
	"many lines": func() {
		serve(func(e *protocol.Execute) protocol.Outcome {
			for i := range 40_000 {
				fmt.Fprintf(os.Stderr, "line %d of a lot of text that nobody asked for, but that must not block\n", i)
			}
			return echo(e)
		})
	},
	"no line ends": func() {
		serve(func(e *protocol.Execute) protocol.Outcome {
			_, _ = os.Stderr.Write(bytes.Repeat([]byte("x"), 4<<20))
			return echo(e)
		})
	},
	"long lines": func() {
		serve(func(e *protocol.Execute) protocol.Outcome {
			for i := range 20 {
				fmt.Fprintf(os.Stderr, "%d:%s\r\n", i, strings.Repeat("y", 200<<10))
			}
			return echo(e)
		})
	},

	// The task's name says how to end: "print" lives on, a number is an exit
	// status, anything else is a way to panic. The inputs go to stderr before.
	"panics": func() {
		serve(func(e *protocol.Execute) protocol.Outcome {
			_, _ = os.Stderr.Write(e.Inputs)
			if string(e.Task) != "print" {
				panicAs(string(e.Task))
			}
			return protocol.Outcome{}
		})
	},
	"panics when idle": func() {
		write(answer(echo(receive())))
		panicAs("index")
	},

	// "leave" answers the id of a process that lives in a session of its own
	// and holds all three pipes; "die" then ends the executor.
	"leaves a grandchild": func() {
		serve(func(e *protocol.Execute) protocol.Outcome {
			if string(e.Task) == "die" {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), envBehaviour+"="+lingers)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := cmd.Start(); err != nil {
				return protocol.Outcome{Payload: []byte(err.Error())}
			}
			return protocol.Outcome{Payload: strconv.AppendInt(nil, int64(cmd.Process.Pid), 10)}
		})
	},
}

// Behaviours of grandchildren, which no test starts itself: one does nothing, one writes
// to stderr without pause, one a line now and then.
const (
	lingers  = "lingers"
	floods   = "floods"
	trickles = "trickles"
)

// asTold is an executor that is faultless but for what its task's name says.
const asTold = "does what its task says"

func init() {
	behaviours[asTold] = func() { serve(obey) }
	behaviours["uses a pool"] = usePool
	behaviours["has no descriptors left"] = useNoDescriptors
	behaviours["chaos"] = func() { chaos() }
}

// obey runs a task of asTold.
func obey(e *protocol.Execute) protocol.Outcome {
	text := func(s string) protocol.Outcome { return protocol.Outcome{Payload: []byte(s)} }
	switch name, rest, _ := strings.Cut(string(e.Task), ": "); name {
	case "exit":
		code, _ := strconv.Atoi(rest)
		os.Exit(code)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		hang()
	case "hang":
		hang()
	case "stop":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		hang()
	case "text":
		write([]byte("Segmentation fault, or so\n"))
		hang()
	case "half an answer":
		write(half())
		hang()
	case "half an answer and exit":
		write(half())
		os.Exit(0)
	case "two answers":
		twice := answer(echo(e))
		write(append(twice, twice...)) // in one write: what comes later cannot be told from the next answer
		return echo(receive())
	case "two answers apart":
		write(answer(echo(e)))
		write(answer(text("of another call")))
		say("both are written")
		return echo(receive())
	case "close stdout":
		os.Stdout.Close()
		hang()
	case "answer and exit":
		write(answer(text(strconv.Itoa(os.Getpid()))))
		os.Exit(0)
	case "answer and stop reading":
		write(answer(text(strconv.Itoa(os.Getpid()))))
		hang()
	case "answer after": // until a file is there
		for {
			if _, err := os.Stat(rest); err == nil {
				return echo(e)
			}
			time.Sleep(time.Millisecond)
		}
	case "slow": // until it gets a signal
		got := make(chan os.Signal, 1)
		signal.Notify(got, syscall.SIGUSR1)
		say("ready")
		<-got
	case "flood":
		_, _ = os.Stderr.Write(bytes.Repeat([]byte("x"), 4<<20))
	case "chat": // for as long as the process lives
		go func() {
			for {
				fmt.Fprintln(os.Stderr, "a line of a goroutine in the background")
			}
		}()
		return text(strconv.Itoa(os.Getpid()))
	case "fill": // a pipe that has been enlarged
		if _, err := unix.FcntlInt(2, unix.F_SETPIPE_SZ, 1<<20); err != nil {
			return text(err.Error())
		}
		var lines []byte
		for i := range 60_000 {
			lines = fmt.Appendf(lines, "line %06d\n", i)
		}
		_, _ = os.Stderr.Write(lines)
	case "close stdin": // and answer
		os.Stdin.Close()
		write(answer(text("closed")))
		hang()
	case "close stdout and exit": // in a moment
		os.Stdout.Close()
		time.Sleep(100 * time.Millisecond)
		os.Exit(7)
	case "line": // right before the answer
		fmt.Fprintln(os.Stderr, string(e.Inputs))
	case "line without end":
		fmt.Fprint(os.Stderr, string(e.Inputs))
	case "pid":
		return text(strconv.Itoa(os.Getpid()))
	case "env":
		return text(strings.Join(os.Environ(), "\x00"))
	case "dir":
		dir, _ := os.Getwd()
		return text(dir)
	case "fork", "fork setsid", "fork flood", "fork setsid flood", "fork setsid trickle":
		child := lingers
		switch {
		case strings.HasSuffix(name, "flood"):
			child = floods
		case strings.HasSuffix(name, "trickle"):
			child = trickles
		}
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), envBehaviour+"="+child)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: strings.HasPrefix(name, "fork setsid")}
		if err := cmd.Start(); err != nil {
			return text(err.Error())
		}
		return text(strconv.Itoa(cmd.Process.Pid))
	}
	return echo(e)
}

func behave(name string) {
	// A child that the handle forgot must not stay for ever.
	if name != "chaos" {
		time.AfterFunc(5*time.Minute, func() { os.Exit(99) })
	}
	switch name {
	case lingers:
		hang()
	case trickles:
		for {
			if _, err := os.Stderr.WriteString("drip\n"); err != nil {
				os.Exit(0)
			}
			time.Sleep(20 * time.Millisecond)
		}
	case floods:
		much := bytes.Repeat([]byte("\n"), 64<<10)
		for {
			if _, err := os.Stderr.Write(much); err != nil {
				os.Exit(0)
			}
		}
	}
	b, ok := behaviours[name]
	if !ok {
		say("no behaviour is called " + name)
		os.Exit(98)
	}
	b()
}

func hang() {
	for {
		time.Sleep(time.Hour)
	}
}

var frames = protocol.NewReader(os.Stdin, 0)

// receive returns the next request, or ends the process as an executor would.
func receive() *protocol.Execute {
	body, err := frames.ReadFrame()
	var r protocol.Request
	if err == nil {
		err = protocol.DecodeRequest(body, &r)
	}
	if err == io.EOF || r.Kind == protocol.RequestShutdown {
		os.Exit(0)
	}
	if err != nil {
		say(err.Error())
		os.Exit(1)
	}
	return &r.Execute
}

// serve is an executor's loop.
func serve(run func(*protocol.Execute) protocol.Outcome) {
	for {
		write(answer(run(receive())))
	}
}

// echo answers the inputs, or the failure that the task's name asks for.
func echo(e *protocol.Execute) protocol.Outcome {
	if variant, ok := strings.CutPrefix(string(e.Task), "fail "); ok {
		failure := &protocol.ExecutorError{Variant: protocol.ExecutorVariant(variant), Message: "as asked"}
		switch failure.Variant {
		case protocol.TaskError, protocol.PackageInitError:
			failure.Task = &protocol.TdlError{Variant: protocol.TdlCustom, Message: "as asked"}
		}
		return protocol.Outcome{Failure: true, Payload: failure.Append(nil)}
	}
	return protocol.Outcome{Payload: e.Inputs}
}

func panicAs(how string) {
	if status, err := strconv.Atoi(how); err == nil {
		os.Exit(status)
	}
	switch how {
	case "index":
		three := make([]int, 3)
		_ = three[len(how)]
	case "lines":
		panic("one\ntwo")
	case "defer":
		defer func() { panic(fmt.Errorf("while cleaning up: %v", recover())) }()
		panicAs("index")
	case "deadlock":
		// What the race detector runs keeps the runtime from seeing one.
		fmt.Fprint(os.Stderr, "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [select (no cases)]:\nmain.main()\n")
		os.Exit(2)
	case "many":
		for range 100 {
			go hang()
		}
		debug.SetTraceback("all")
		deep(100)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		hang()
	}
	panic("no way to panic is called " + how)
}

// deep panics below so many frames.
//
//go:noinline
func deep(n int) int {
	if n == 0 {
		panic("deep down")
	}
	return deep(n-1) + 1
}

const executorTime = 1234 * time.Microsecond

func answer(o protocol.Outcome) []byte { return protocol.AppendResponse(nil, o, executorTime) }

// half is the first half of an answer.
func half() []byte {
	b := answer(protocol.Outcome{Payload: make([]byte, 100)})
	return b[:len(b)/2]
}

func header(size uint32) []byte { return binary.BigEndian.AppendUint32(nil, size) }

func frame(body []byte) []byte { return append(header(uint32(len(body))), body...) }

func write(b []byte) {
	if _, err := os.Stdout.Write(b); err != nil {
		os.Exit(1)
	}
}

func say(lines ...string) { fmt.Fprintln(os.Stderr, strings.Join(lines, "\n")) }
