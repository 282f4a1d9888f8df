package pool_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"
)

// envBehaviour makes this test binary an executor of the behaviour it names.
const envBehaviour = "SPIDER_POOL_TEST_BEHAVIOUR"

// patience bounds what should take milliseconds, on a machine that is busy.
const patience = 30 * time.Second

// used holds the behaviours that some test started.
var used sync.Map

func TestMain(m *testing.M) {
	if name := os.Getenv(envBehaviour); name != "" {
		behave(name)
		os.Exit(0)
	}
	flag.Parse()
	before := resources()
	status := m.Run()
	if err := before.leaked(); err != "" && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	if err := unused(); err != "" && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// unused names the behaviours that no test started, unless only some tests ran.
func unused() string {
	for _, name := range []string{"test.run", "test.skip", "test.list"} {
		if f := flag.Lookup(name); f != nil && f.Value.String() != "" {
			return ""
		}
	}
	if testing.Short() {
		return ""
	}
	var names []string
	for name := range behaviours {
		if _, ok := used.Load(name); !ok {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprint("behaviours that no test uses: ", names)
}

// held is what a leak would add to.
type held struct {
	goroutines int
	files      int
	mappings   int // of shared memory
}

// mappings are how many mappings there are of memory that is shared with executors.
func mappings() int {
	text, _ := os.ReadFile("/proc/self/maps")
	return strings.Count(string(text), "memfd:spider")
}

func resources() held {
	// The runtime's poller has descriptors of its own, from the first pipe on.
	if r, w, err := os.Pipe(); err == nil {
		_ = r.SetReadDeadline(time.Now())
		_, _ = r.Read(make([]byte, 1))
		r.Close()
		w.Close()
	}
	return held{goroutines: runtime.NumGoroutine(), files: len(openFiles()), mappings: mappings()}
}

// leaked says what has been added since, "" if nothing. It gives goroutines that
// are about to end the time to do so.
func (before held) leaked() string {
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		goroutines, files, processes := runtime.NumGoroutine(), openFiles(), children()
		if goroutines <= before.goroutines && len(files) <= before.files && len(processes) == 0 && mappings() <= before.mappings {
			return ""
		}
		if time.Now().After(deadline) {
			var stacks strings.Builder
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			return fmt.Sprintf("left behind: goroutines %d, before %d; open files %q, before %d; processes %v\n%s",
				goroutines, before.goroutines, files, before.files, processes, &stacks)
		}
	}
}

// openFiles lists what this process's descriptors refer to.
func openFiles() (targets []string) {
	const dir = "/proc/self/fd/"
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		// The descriptor that listed the folder is gone by now.
		if target, err := os.Readlink(dir + e.Name()); err == nil {
			targets = append(targets, target)
		}
	}
	return targets
}

// children lists this process's children, zombies too.
func children() (pids []string) {
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, task := range tasks {
		text, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		pids = append(pids, strings.Fields(string(text))...)
	}
	return pids
}
