package sharedmem

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// envChild makes this test binary an executor's side of the memory.
const envChild = "SPIDER_SHAREDMEM_TEST"

func TestMain(m *testing.M) {
	if mode := os.Getenv(envChild); mode != "" {
		time.AfterFunc(5*time.Minute, func() { os.Exit(99) })
		runChild(mode)
		os.Exit(0)
	}
	before, mappings := len(openFiles()), mapped()
	status := m.Run()
	if after := openFiles(); status == 0 && len(after) > before {
		fmt.Fprintln(os.Stderr, "left open:", after)
		status = 1
	}
	if after := mapped(); status == 0 && after > mappings {
		fmt.Fprintln(os.Stderr, "left mapped:", after)
		status = 1
	}
	os.Exit(status)
}

func openFiles() (targets []string) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, e := range entries {
		if target, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && !strings.Contains(target, "anon_inode") {
			targets = append(targets, target)
		}
	}
	return targets
}

// mapped is how many mappings of such memory there are.
func mapped() int {
	text, _ := os.ReadFile("/proc/self/maps")
	return bytes.Count(text, []byte("memfd:spider"))
}

// runChild does what it reads line by line, and answers each with a line.
func runChild(mode string) {
	if mode == "limited" {
		// To make a file larger would be a signal.
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20}); err != nil {
			panic(err)
		}
		_, err := NewOffer(8 << 20)
		fmt.Println(err != nil)
	}
	if mode == "parent" {
		// It does not know of the offer, but hands it down.
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), envChild+"=accept")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		cmd.ExtraFiles = []*os.File{os.NewFile(3, "offer")}
		if err := cmd.Run(); err != nil {
			fmt.Println(err)
		}
		return
	}
	a, err := Accept()
	fmt.Println(a != nil, err)
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		command, argument, _ := strings.Cut(in.Text(), " ")
		n, _ := strconv.Atoi(argument)
		switch command {
		case "sum": // of the first n bytes
			fmt.Printf("%x\n", sha256.Sum256(a.Payload()[:n]))
		case "write":
			fmt.Println(a.CopyIn(pattern(n)))
		case "echo":
			fmt.Println(a.CopyIn(bytes.Clone(a.Payload()[:n])))
		case "punch": // as hostile code might, at any moment
			fmt.Println(unix.Fallocate(a.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, int64(payloadAt+a.max)))
		case "harass":
			go func() {
				for {
					_ = unix.Fallocate(a.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, int64(payloadAt+a.max))
				}
			}()
			fmt.Println("so be it")
		case "scribble": // over the whole header
			_, err := unix.Pwrite(a.fd, bytes.Repeat([]byte{0xa5}, payloadAt), 0)
			fmt.Println(err)
		case "shrink":
			fmt.Println(unix.Ftruncate(a.fd, 1), unix.Ftruncate(a.fd, 1<<40))
		case "children": // what they see
			out, err := exec.Command("/bin/sh", "-c", "env; ls -l /proc/self/fd").CombinedOutput()
			fmt.Println(err, strings.Contains(string(out), Env+"="), strings.Contains(string(out), "memfd"))
		case "where":
			fmt.Println(a.fd >= privateFD)
		default:
			panic(command)
		}
	}
}

func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + n)
	}
	return b
}

// offered is an offer and a child to whom it has been made.
type offered struct {
	*Offer
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
}

func offer(t *testing.T, size int, mode string) *offered {
	t.Helper()
	o, err := NewOffer(size)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), envChild+"="+mode, Env+"=3", "GORACE=atexit_sleep_ms=0")
	cmd.ExtraFiles = []*os.File{o.File()}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if o.Taken() {
		t.Error("taken by nobody")
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	o.Made(cmd.Process.Pid)
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		o.Close()
	})
	return &offered{o, t, in, bufio.NewScanner(out)}
}

// line is the next line that the child says.
func (o *offered) line() string {
	o.t.Helper()
	if !o.out.Scan() {
		o.t.Fatal("the child has ended: ", o.out.Err())
	}
	return o.out.Text()
}

// do has the child do something, and returns what it says.
func (o *offered) do(command string, n int) string {
	o.t.Helper()
	if _, err := fmt.Fprintln(o.in, command, n); err != nil {
		o.t.Fatal(err)
	}
	return o.line()
}

func (o *offered) mustTake() {
	o.t.Helper()
	if got := o.line(); got != "true <nil>" {
		o.t.Fatal(got)
	}
	if !o.Taken() {
		o.t.Fatal("not taken")
	}
}

const most = 1 << 20

func TestBothWays(t *testing.T) {
	t.Parallel()
	o := offer(t, most, "accept")
	o.mustTake()
	buffer := make([]byte, 0, most)
	for _, n := range []int{1, Worthwhile, 5000, step - 1, step, step + 1, most - 1, most, 10} {
		o.Begin()
		if err := o.CopyIn(pattern(n)); err != nil {
			t.Fatal(err)
		}
		if got, want := o.do("sum", n), fmt.Sprintf("%x", sha256.Sum256(pattern(n))); got != want {
			t.Errorf("%d bytes: %s", n, got)
		}
		answer := max(n/2, Worthwhile)
		if got := o.do("write", answer); got != "true" {
			t.Errorf("%d bytes: %s", answer, got)
		}
		got, err := o.CopyOut(buffer, answer)
		if err != nil || !bytes.Equal(got, pattern(answer)) {
			t.Errorf("%d bytes came as %d, %v", answer, len(got), err)
		}
		o.End()
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	o := offer(t, most, "accept")
	o.mustTake()
	if err := o.CopyIn(make([]byte, most+1)); err == nil {
		t.Error("more than there is was taken in")
	}
	if _, err := o.CopyOut(nil, most+1); err == nil {
		t.Error("more than there is was taken out")
	}
	for n, want := range map[int]string{most: "true", most + 1: "false", Worthwhile: "true", Worthwhile - 1: "false"} {
		if got := o.do("write", n); got != want {
			t.Errorf("%d bytes: %s", n, got)
		}
	}
	for _, n := range []int{math.MaxInt, math.MaxInt - 1, 0, -1} {
		if o, err := NewOffer(n); err == nil {
			o.Close()
			t.Errorf("%d bytes were offered", n)
		}
	}
}

// Memory is taken as it is needed, and given back.
func TestRelease(t *testing.T) {
	t.Parallel()
	o := offer(t, most, "accept")
	o.mustTake()
	blocks := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(o.fd, &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	if n := blocks(); n > payloadAt {
		t.Errorf("%d bytes at first", n)
	}
	for range 10 {
		if err := o.CopyIn(pattern(most / 2)); err != nil {
			t.Fatal(err)
		}
		if o.do("write", most) != "true" {
			t.Error("no room")
		}
		if got, err := o.CopyOut(nil, most); err != nil || !bytes.Equal(got, pattern(most)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if n, r := blocks(), o.Resident(); n < most || r != most {
			t.Errorf("%d bytes, resident %d", n, r)
		}
		o.Release(most) // keeps it
		if n := blocks(); n < most {
			t.Errorf("%d bytes", n)
		}
		o.Begin()
		o.Release(0) // not while a call is under way
		if n := blocks(); n < most {
			t.Errorf("%d bytes", n)
		}
		o.End()
		o.Release(most - 1)
		if n, r := blocks(), o.Resident(); n > payloadAt || r != 0 {
			t.Errorf("%d bytes, resident %d", n, r)
		}
	}
}

// Whoever releases the memory while there are calls changes no payload.
func TestReleaseUnderLoad(t *testing.T) {
	t.Parallel()
	o := offer(t, most, "accept")
	o.mustTake()
	done := make(chan struct{})
	var releasing sync.WaitGroup
	defer releasing.Wait()
	defer close(done)
	for range 2 {
		releasing.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					o.Release(0)
					_ = o.Resident()
					runtime.Gosched()
				}
			}
		})
	}
	for i := range 100 {
		want := pattern(Worthwhile + i*5003)
		o.Begin()
		if err := o.CopyIn(want); err != nil {
			t.Fatal(err)
		}
		if got := o.do("echo", len(want)); got != "true" {
			t.Fatal(got)
		}
		if got, err := o.CopyOut(nil, len(want)); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("call %d: %d bytes, %v", i, len(got), err)
		}
		o.End()
	}
}

// After Withdraw the executor writes nothing.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	o := offer(t, most, "accept")
	o.mustTake()
	if got := o.do("write", Worthwhile); got != "true" {
		t.Error(got)
	}
	if err := o.Withdraw(); err != nil {
		t.Fatal(err)
	}
	if got := o.do("write", Worthwhile); got != "false" {
		t.Error(got)
	}
}

// Code in the executor can spoil its own results. It cannot change the size, and what it
// frees or writes is no fault of the parent.
func TestHostileExecutor(t *testing.T) {
	t.Parallel()
	o := offer(t, most, "accept")
	o.mustTake()
	if got := o.do("shrink", 0); got != "operation not permitted operation not permitted" {
		t.Error(got)
	}
	for range 20 {
		if err := o.CopyIn(pattern(most)); err != nil {
			t.Fatal(err)
		}
		if got := o.do("punch", 0); got != "<nil>" {
			t.Fatal(got)
		}
		if got, err := o.CopyOut(nil, most); err != nil || !bytes.Equal(got, make([]byte, most)) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if got := o.do("scribble", 0); got != "<nil>" {
			t.Fatal(got)
		}
		o.Release(0)
	}
	// A claim of what it has not written is zeros, or what was there before.
	if got, err := o.CopyOut(nil, most); err != nil || len(got) != most {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if got := o.do("harass", 0); got != "so be it" {
		t.Fatal(got)
	}
	for range 100 {
		if err := o.CopyIn(pattern(most)); err != nil {
			t.Fatal(err)
		}
		if got, err := o.CopyOut(nil, most); err != nil || len(got) != most {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
}

// A program further down that has inherited everything is not whom the offer was made to.
func TestTakenByAGrandchild(t *testing.T) {
	t.Parallel()
	o := offer(t, most, "parent")
	if got := o.line(); got != "true <nil>" {
		t.Error(got)
	}
	if o.Taken() {
		t.Error("taken by the child, which knows nothing of it")
	}
}

// What tasks start sees nothing of the offer, nor do tasks that count descriptors.
func TestNothingIsInherited(t *testing.T) {
	t.Parallel()
	o := offer(t, most, "accept")
	o.mustTake()
	if got := o.do("children", 0); got != "<nil> false false" {
		t.Error(got)
	}
	if got := o.do("where", 0); got != "true" {
		t.Error(got)
	}
}

// A limit on the size of files refuses the offer on either side; it ends nobody.
func TestFileSizeLimit(t *testing.T) {
	t.Parallel()
	o := offer(t, 8<<20, "limited")
	if got := o.line(); got != "true" {
		t.Error("made under the limit")
	}
	if got := o.line(); !strings.HasPrefix(got, "false the limit on the size of files") {
		t.Error(got)
	}
	if o.Taken() {
		t.Error("taken")
	}
}

// What the environment names that is no offer is left alone.
func TestNoOffer(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	plain, err := unix.MemfdCreate("plain", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(plain)
	for _, value := range []string{"", "x", "-1", "0", "2", "1000000", fmt.Sprint(r.Fd()), fmt.Sprint(plain)} {
		t.Setenv(Env, value)
		if a, err := Accept(); a != nil || err == nil {
			t.Errorf("%q: %v, %v", value, a, err)
		}
		if value, ok := os.LookupEnv(Env); ok {
			t.Errorf("the environment has %q still", value)
		}
	}
	for _, fd := range []int{int(r.Fd()), plain} {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			t.Errorf("descriptor %d: %v", fd, err)
		}
	}
	if a, err := Accept(); a != nil || err != nil {
		t.Errorf("%v, %v", a, err)
	}
	var none *Accepted
	if none.CopyIn(make([]byte, 1<<20)) || none.Max() != 0 || none.Payload() != nil {
		t.Error("no memory, and yet there is some")
	}
}

// Offers that are made and closed leave neither descriptors nor mappings; TestMain looks.
func TestClose(t *testing.T) {
	t.Parallel()
	for range 100 {
		o, err := NewOffer(most)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.CopyIn(pattern(most)); err != nil {
			t.Error(err)
		}
		if o.Taken() {
			t.Error("taken")
		}
		o.Close()
	}
}

// Memory that is claimed and was never written is not copied, at least where it is much;
// and a long copy ends when it is late.
func TestClaimsAndLateness(t *testing.T) {
	t.Parallel()
	o, err := NewOffer(4 * piece)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if got, err := o.CopyOut(nil, 3*piece); err == nil || len(got) > 0 {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	want := pattern(3 * piece)
	if err := o.CopyIn(want); err != nil {
		t.Fatal(err)
	}
	if got, err := o.CopyOut(nil, len(want)); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	o.Late = func() bool { return true }
	if err := o.CopyIn(want); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	if got, err := o.CopyOut(nil, len(want)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	// What fits one piece is not late for it.
	if err := o.CopyIn(want[:piece]); err != nil {
		t.Error(err)
	}
}

// One that has inherited the offer, and is driven by somebody else, does not use it.
func TestNotMadeToThisOne(t *testing.T) {
	t.Parallel()
	o := offer(t, most, "accept")
	o.mustTake()
	pid := o.pid
	o.Made(pid + 1)
	if got := o.do("write", Worthwhile); got != "false" {
		t.Error(got)
	}
	o.Made(pid)
	if got := o.do("write", Worthwhile); got != "true" {
		t.Error(got)
	}
}
