package monitor

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Client reads the snapshots of one map. Close must be called.
type Client struct {
	conn  net.Conn
	lines *bufio.Reader
}

// Dial connects to a map.
func Dial(path string) (*Client, error) {
	c, err := net.DialTimeout("unix", path, patience)
	if err != nil {
		return nil, err
	}
	return &Client{c, bufio.NewReaderSize(c, maxLine)}, nil
}

// Close may be called while Next waits, and ends it.
func (c *Client) Close() error { return c.conn.Close() }

// silence is how long a map may say nothing.
const silence = 5 * time.Second

// FullError says that a map runs, and serves as many clients as it does at once.
type FullError struct{ PID, Clients int }

func (e *FullError) Error() string {
	return fmt.Sprintf("map %d is watched by %d others, and serves no more: end one of them", e.PID, e.Clients)
}

// Next waits for the next snapshot. io.EOF tells that the map is gone, a *[FullError] that
// it serves no more clients; another error that it says nothing, or nonsense.
func (c *Client) Next() (*Snapshot, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(silence))
	return read(c.lines)
}

// read reads one line, which fits into the reader's buffer.
func read(lines *bufio.Reader) (*Snapshot, error) {
	text, err := lines.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("a snapshot of more than %d bytes", lines.Size())
	case err == io.EOF && len(text) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	var answer struct {
		Snapshot
		Full int `json:"full"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("no snapshot: %w", err)
	}
	s := answer.Snapshot
	if answer.Full > 0 && s.PID > 0 {
		return nil, &FullError{s.PID, answer.Full}
	}
	if s.PID <= 0 || s.Started.IsZero() {
		return nil, errors.New("no snapshot: pid or start is missing")
	}
	s.fit()
	return &s, nil
}
