package monitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// maxClients is how many are served at once. Further ones are told so.
	maxClients = 16

	// patience is how long a client may take to accept a snapshot, and a server to
	// answer; lastPatience the same when the map ends, which waits for it.
	patience     = time.Second
	lastPatience = 100 * time.Millisecond

	// fresh is how old a snapshot may be for another client.
	fresh = 100 * time.Millisecond
)

// Server serves one map's snapshots. Close must be called.
type Server struct {
	snapshot func() Snapshot
	listener *net.UnixListener
	work     sync.WaitGroup
	clients  chan struct{} // holds one of each
	closing  chan struct{}

	mu   sync.Mutex
	line []byte
	made time.Time
	last bool // line is the last one
}

// Listen starts to serve what snapshot returns, which is called by one goroutine at a
// time, at most ten times a second, and only while somebody watches.
func Listen(snapshot func() Snapshot) (*Server, error) {
	var errs []error
	for _, dir := range directories() {
		l, err := listen(dir)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		s := &Server{
			snapshot: snapshot, listener: l,
			clients: make(chan struct{}, maxClients), closing: make(chan struct{}),
		}
		s.work.Go(s.accept)
		return s, nil
	}
	return nil, errors.Join(errs...)
}

// maxPath is how long the path of a socket may be, in bytes.
const maxPath = 107

func listen(dir string) (*net.UnixListener, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if err := check(dir); err != nil {
		return nil, err
	}
	list(dir) // which removes what killed maps have left
	path := filepath.Join(dir, socketName(os.Getpid()))
	if len(path) > maxPath {
		return nil, fmt.Errorf("%s is too long for a socket's path", path)
	}
	// If there is one, it is of an earlier process of this pid.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
}

// Path is where it listens.
func (s *Server) Path() string { return s.listener.Addr().String() }

// Close sends those who watch the last snapshot and gives up the socket. It takes no
// longer than a moment, whatever they do.
func (s *Server) Close(last Snapshot) {
	last.Ended = true
	s.mu.Lock()
	s.line, s.last = line(last), true
	s.mu.Unlock()
	close(s.closing)
	s.listener.Close() // which removes the file
	s.work.Wait()
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			select {
			case <-s.closing:
				return
			case <-time.After(fresh): // such as too many open files
				continue
			}
		}
		select {
		case s.clients <- struct{}{}:
			s.work.Go(func() {
				defer func() { <-s.clients }()
				defer c.Close()
				s.serve(c)
			})
		default:
			_ = c.SetWriteDeadline(time.Now().Add(lastPatience)) // though it has room for that
			_, _ = c.Write(refusal())
			c.Close()
		}
	}
}

// serve writes snapshots until the client goes away, or does not read.
func (s *Server) serve(c net.Conn) {
	tick := time.NewTicker(Every)
	defer tick.Stop()
	for {
		line, last := s.now()
		limit := patience
		if last {
			limit = lastPatience
		}
		_ = c.SetWriteDeadline(time.Now().Add(limit))
		written := make(chan struct{})
		go func() {
			// The end of the map shortens what a client still has.
			select {
			case <-s.closing:
				_ = c.SetWriteDeadline(time.Now().Add(lastPatience))
			case <-written:
			}
		}()
		_, err := c.Write(line)
		close(written)
		if err != nil || last {
			return
		}
		select {
		case <-tick.C:
		case <-s.closing:
		}
	}
}

// now is the present snapshot as a line.
func (s *Server) now() (text []byte, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.last && time.Since(s.made) >= fresh {
		s.line, s.made = line(s.snapshot()), time.Now()
	}
	return s.line, s.last
}

// refusal is what a client gets for whom there is no room.
func refusal() []byte {
	return fmt.Appendf(nil, `{"pid":%d,"full":%d}`+"\n", os.Getpid(), maxClients)
}

// line is a snapshot as it is sent.
func line(s Snapshot) []byte {
	s.fit()
	text, err := json.Marshal(s)
	if err != nil || len(text) >= maxLine {
		return nil // a rate that is no number; fit sees to the length
	}
	return append(text, '\n')
}
