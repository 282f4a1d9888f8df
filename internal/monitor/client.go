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

// Next waits for the next snapshot. io.EOF tells that the map is gone; another error that
// it says nothing, or nonsense.
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
	var s Snapshot
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("no snapshot: %w", err)
	}
	if s.PID <= 0 || s.Started.IsZero() {
		return nil, errors.New("no snapshot: pid or start is missing")
	}
	s.fit()
	return &s, nil
}
