package pool

import (
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spider-go/spider/internal/protocol"
	"github.com/spider-go/spider/internal/sharedmem"
	"github.com/spider-go/spider/internal/spin"
	"github.com/spider-go/spider/internal/timeslice"
	"github.com/spider-go/spider/internal/widepipe"
)

// ProcessConfig says which executor to start, and how.
type ProcessConfig struct {
	// Executor is the program: a path, or a name looked up on PATH. Required,
	// unless Package is found to be a program.
	Executor string

	// Package, if set, is the one package that the process is for. If the
	// package directory has it as a program, the executable file
	// <Package>/<Package>, that is started in place of Executor; it serves no
	// other package. See [Process.Program] for which it was.
	Package string

	// PackageDir holds the packages; it is passed on as
	// SPIDER_TDL_PACKAGE_DIR. Empty: what Env says.
	PackageDir string

	// Env is the environment. Nil: this process's own.
	Env []string

	// MaxFrame is the largest request or answer, in bytes. 0: 8 MiB, which is
	// what every executor takes, and the most: for more there is MaxPayload.
	MaxFrame int

	// MaxPayload is the largest inputs or outputs, in bytes, where they travel in
	// shared memory instead of in a frame: from 8 KiB on, if the executor can (ours
	// can, and so can packages that are programs). The memory is taken as it is
	// needed, and given back a second after it was last. 0: what fits a frame, and
	// nothing larger. Negative: there is no shared memory.
	MaxPayload int

	// Spin is how long the calling goroutine, and our executor, look for what the other
	// side writes before they block: up to 1 ms. It saves the time that a sleeping
	// core takes to wake up, 50 us and more on virtual machines, and costs up to
	// that long of a core's time in each call, less where it is in vain. It needs two
	// cores. 0: not at all.
	Spin time.Duration

	// StderrLines is how many of the last lines of stderr are kept for crash
	// reports. 0: 32. At most 65,536. The first lines of a panic's trace are kept
	// besides.
	StderrLines int

	// OnStderr, if set, gets each line of stderr, without its line end, one at a
	// time. A line over 64 KiB comes cut. What a task wrote before its answer
	// comes before Execute returns, as far as the call's limit allows. Stderr is read
	// whether it is set or not, but not while OnStderr has not returned, and then
	// Execute waits too, to its limit or for ever if it has none: it should not block.
	//
	// If it is not set, Execute has one system call less, and nothing tells what was
	// printed right before an answer from what was printed after it: what looks like a
	// panic, and was survived, may be taken for the cause if the next call ends in the
	// same way. A [Pool] looks before each call, and is not mistaken.
	OnStderr func(line string)

	// Dir is the working directory. "": this process's own.
	Dir string

	// Phases has Execute send a request before the first call, which every executor
	// answers, and one before the first of each package, which has it loaded, within the
	// call's own limit. Then the loss of a process is told as what it is: while it came
	// up by a *SpawnError, while it loaded a package in PhaseLoad. Otherwise both are in
	// PhaseRun, like the task.
	Phases bool

	// Limits are what the process may use of the machine.
	Limits Limits
}

// Process is one executor. One goroutine at a time may use SetDeadline, Send,
// Receive and Execute; the other methods may be called from anywhere, also
// meanwhile, though CloseInput waits for a Send that is under way. Close must be
// called.
type Process struct {
	cmd      *exec.Cmd
	maxFrame int

	in      requests // its stdin
	out     answers  // its stdout
	pidfd   int
	limits  Limits
	cgroup  *cgroup // nil if it has none of its own
	frames  *protocol.Reader
	request []byte // reused
	wide    widepipe.Pipes

	shared     *sharedmem.Offer // nil: there is none, or it has been withdrawn
	sharedEnd  func()           // gives it back
	maxPayload int              // what may be larger than a frame, in it; 0: nothing
	largeAt    time.Time        // the last call with much in shared memory; zero: none since it was released
	heard      bool             // it has answered something

	phases bool
	loaded map[string]bool // packages, if phases is set; nil: it has not answered yet

	served int          // tasks answered
	sent   time.Time    // the last request
	limit  atomic.Int64 // of the last call
	slice  timeslice.Slice

	stderr   *tail
	expected atomic.Bool // its end: it has been asked for it

	dead   chan error    // gets what waiting for the process's end came to
	exited chan struct{} // closed when exit is set and stderr is read
	exit   Exit

	peak       atomic.Int64 // its largest resident memory seen, in bytes
	parentPeak int64        // this program's own when it started it

	mu     sync.Mutex
	killed string // why; "" if not
	reaped bool   // the pid is no longer ours to signal
}

// StartProcess starts an executor, as the leader of its own process group. The
// error is a *[SpawnError].
func StartProcess(cfg ProcessConfig) (*Process, error) {
	program, err := cfg.program()
	if err != nil {
		return nil, err
	}
	if faults := tooMuch(cfg.MaxFrame, cfg.MaxPayload, cfg.StderrLines); len(faults) > 0 {
		return nil, &SpawnError{Executor: program, Err: &ConfigError{Faults: faults}}
	}
	p := &Process{
		cmd:      exec.Command(program),
		maxFrame: cfg.MaxFrame,
		phases:   cfg.Phases,
		dead:     make(chan error, 1),
		exited:   make(chan struct{}),
		stderr:   newTail(cfg.StderrLines, cfg.OnStderr),
		in:       requests{fd: -1},
		out:      answers{fd: -1},
		pidfd:    -1,
	}
	if p.maxFrame <= 0 {
		p.maxFrame = protocol.DefaultMaxFrame
	}
	p.cmd.Dir = cfg.Dir
	p.cmd.Env = cfg.Env
	if cfg.Spin > 0 {
		p.cmd.Env = append(p.cmd.Environ(), spin.Env+"="+cfg.Spin.String())
	}
	if cfg.PackageDir != "" {
		p.cmd.Env = append(p.cmd.Environ(), envPackageDir+"="+cfg.PackageDir)
	}
	p.limits = cfg.Limits
	p.out.spin, p.out.blind, p.out.long = spin.New(cfg.Spin), noProc(), true
	p.out.processors = int32(runtime.GOMAXPROCS(0))
	p.offer(cfg.MaxPayload)
	if err := p.start(); err != nil {
		p.sharedEnd()
		return nil, &SpawnError{Executor: program, Err: err}
	}
	if p.shared != nil {
		p.shared.Made(p.PID())
	}
	if own, ok := memoryOf(os.Getpid()); ok {
		p.parentPeak = own.peak
	}
	p.out.stuck = p.killLate
	p.stderr.asks = &p.out.calling
	p.frames = protocol.NewReader(&p.out, p.maxFrame)
	go p.stderr.drain()
	go p.wait()
	return p, nil
}

func (p *Process) start() (err error) {
	var theirs, ours []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
		if err != nil {
			for _, f := range ours {
				f.Close()
			}
			p.in.close()
			p.out.close()
		}
	}()
	their := func(fd int, name string) *os.File {
		f := os.NewFile(uintptr(fd), name)
		theirs = append(theirs, f)
		return f
	}
	var in, out [2]int
	if err := unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	p.in.fd, p.cmd.Stdin = in[1], their(in[0], "stdin")
	if err := unix.SetNonblock(p.in.fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	p.out.fd, p.cmd.Stdout = out[0], their(out[1], "stdout")
	stderr, theirErr, err := os.Pipe()
	if err != nil {
		return err
	}
	ours, theirs = append(ours, stderr), append(theirs, theirErr)
	p.cmd.Stderr = theirErr
	if err := p.stderr.open(stderr); err != nil {
		return err
	}

	if p.shared != nil {
		p.cmd.ExtraFiles = []*os.File{p.shared.File()}
		p.cmd.Env = append(p.cmd.Environ(), sharedmem.Env+"=3")
	} else {
		// What this process may have been offered itself is not for others.
		p.cmd.Env = slices.DeleteFunc(p.cmd.Environ(), func(assignment string) bool {
			return strings.HasPrefix(assignment, sharedmem.Env+"=")
		})
	}
	// The thread that forks lives as long as the process does, since it waits for it. So
	// the signal of its death comes when this program has ended, and never earlier.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, PidFD: &p.pidfd, Pdeathsig: syscall.SIGKILL}
	if p.cgroup, err = p.limits.launch(p.cmd, p.await); err != nil {
		return err
	}
	p.in.process = p.pidfd
	return nil
}

// await waits for the process to be a zombie, on the thread that has started it.
func (p *Process) await() {
	for {
		if err := unix.Waitid(unix.P_PID, p.PID(), nil, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			p.dead <- err
			return
		}
	}
}

// wait sees to what is to be done when the process has ended. It ends what the process
// leaves behind, while the zombie still holds the group's number.
func (p *Process) wait() {
	err := <-p.dead
	if err == nil && !p.expected.Load() && p.out.doing() != reading {
		time.Sleep(deathPause)
	}
	p.mu.Lock()
	if err == nil {
		p.killGroup()
	}
	// Else this program reaps its children elsewhere (or ignores SIGCHLD), and
	// the number may be somebody else's already.
	p.reaped = true
	_ = p.cmd.Wait()
	p.exit = exitOf(p.PID(), p.cmd.ProcessState, p.killed)
	p.mu.Unlock()
	p.out.end()
	p.exit.OutOfMemory = p.cgroup.oomKilled()
	p.exit.OutOfCPU = p.exit.Killed == "" && p.limits.cpuUsedUp(p.cmd.ProcessState)
	p.cgroup.remove()

	patience := endPatience
	if left := p.out.untilDeadline(); left > 0 {
		patience = min(patience, left)
	}
	p.stderr.finish(patience)
	close(p.exited)
}

// deathPause is how long what is to be done after a death waits that nobody waits for: the
// next call has just lost its executor, has another, and needs the cores more.
const deathPause = time.Millisecond

func exitOf(pid int, state *os.ProcessState, killed string) Exit {
	if state == nil {
		return Exit{PID: pid, Code: -1, Unknown: true, Killed: killed}
	}
	e := Exit{PID: pid, Code: state.ExitCode()}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		e.Signal = status.Signal()
	}
	if e.Signal == syscall.SIGKILL {
		// Else the kill came too late to be the cause.
		e.Killed = killed
	}
	return e
}

// killGroup must be called with mu held. The process itself is named too: a task
// may have moved it to another group.
func (p *Process) killGroup() {
	if !p.reaped {
		_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
		_ = syscall.Kill(p.PID(), syscall.SIGKILL)
	}
}

// signal sends a signal to the process alone.
func (p *Process) signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = syscall.Kill(p.PID(), s)
	}
}

// Program is the path of what was started: the executor, or the package itself.
func (p *Process) Program() string { return p.cmd.Path }

// PID is the process's id, and its group's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended, its process group is gone, and all
// that it wrote to stderr has been read and handed on. OnStderr has 5 s for its last
// lines, or 200 ms if the process was killed or the deadline is over; of what is more it
// gets the number of lines.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Wait waits for the process's end and returns how it ended.
func (p *Process) Wait() Exit {
	<-p.exited
	return p.exit
}

// Kill ends the process and its group at once. The reason is what [Exit.Killed]
// will say; the first one counts. It does not wait.
func (p *Process) Kill(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stderr.hurry()
	p.expected.Store(true)
	if p.reaped {
		return
	}
	if p.killed == "" {
		p.killed = reason
		p.sampleMemory() // for the report: its end leaves nothing to look at
	}
	p.killGroup()
}

// StderrTail returns the last lines of the process's stderr so far.
func (p *Process) StderrTail() []string {
	p.stderr.glance()
	return p.stderr.lines()
}

// unread says, before a request is sent, what the process has said that nobody asked for,
// in the events of poll; 0: nothing, and it lives and reads. In the same system call it
// looks at stderr, and keeps what there is where nobody listens.
func (p *Process) unread() int16 {
	polled := [4]unix.PollFd{
		{},                  // stdout
		{Fd: p.in.number()}, // that nobody reads it is always told
		{Fd: p.stderr.number(), Events: unix.POLLIN},
		{Fd: int32(p.pidfd), Events: unix.POLLIN}, // it has ended, whoever holds its pipes
	}
	events := p.out.unread(&polled)
	if polled[2].Revents != 0 {
		p.stderr.glance()
	}
	if polled[3].Revents != 0 {
		events |= unix.POLLHUP
	}
	return events | polled[1].Revents
}

// CloseInput closes the process's stdin: it will answer what it has been sent
// and exit.
func (p *Process) CloseInput() error {
	p.expected.Store(true)
	return p.in.close()
}

// shutdownPatience is how long an idle process may take to shut down.
const shutdownPatience = 2 * time.Second

// Shutdown asks the process to end, waits until it has, and returns how. A
// process that does not end within two seconds is killed.
func (p *Process) Shutdown() Exit {
	deadline := time.Now().Add(shutdownPatience)
	p.expected.Store(true)
	p.in.tryWrite(protocol.AppendShutdown(nil), deadline)
	select {
	case <-p.exited:
	case <-time.After(time.Until(deadline)):
		p.Kill("it did not end within " + shutdownPatience.String() + " of being asked to")
	}
	return p.Wait()
}

// Close kills the process if it still lives, waits for its end and gives back the
// pipes. It may be called more than once.
func (p *Process) Close() error {
	p.Kill("closed")
	p.Wait()
	p.in.close()
	p.out.close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sharedEnd()
	p.wide.Closed()
	if p.pidfd >= 0 {
		unix.Close(p.pidfd)
		p.pidfd = -1
	}
	return nil
}
