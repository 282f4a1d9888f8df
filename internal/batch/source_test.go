package batch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func readAll(t *testing.T, s Source) (texts []string) {
	t.Helper()
	for i := int64(0); ; i++ {
		in, err := s.Next(t.Context())
		if err == io.EOF {
			return texts
		}
		if err != nil || in.Index != i {
			t.Fatalf("%+v, %v", in, err)
		}
		texts = append(texts, string(in.Text))
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("z", 300<<10) // over the reader's buffer
	for _, test := range []struct {
		text  string
		end   byte
		plain bool
		want  []string
	}{
		{"", '\n', true, nil},
		{"a\n\nb", '\n', true, []string{"a", "", "b"}},
		{"a\n \n\t\r\nb\r\n", '\n', false, []string{"a", "b\r"}},
		{"a\nb\x00\x00c", 0, true, []string{"a\nb", "", "c"}},
		{long + "\n" + long, '\n', true, []string{long, long}},
	} {
		if diff := cmp.Diff(test.want, readAll(t, NewLines(strings.NewReader(test.text), test.end, test.plain))); diff != "" {
			t.Errorf("%.20q: %s", test.text, diff)
		}
		one := iotest.OneByteReader(strings.NewReader(test.text))
		if n, ok := CountLines(t.Context(), one, test.end, test.plain); !ok || n != int64(len(test.want)) {
			t.Errorf("%.20q: %d counted", test.text, n)
		}
	}
}

// An input that ends in an error is no end.
func TestLinesError(t *testing.T) {
	t.Parallel()
	fault := errors.New("fault")
	l := NewLines(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(fault)), '\n', true)
	if in, err := l.Next(t.Context()); err != nil || string(in.Text) != "a" {
		t.Errorf("%v, %v", in, err)
	}
	if in, err := l.Next(t.Context()); err != fault {
		t.Errorf("%v, %v", in, err)
	}
}

// A line without end is not kept.
func TestEndlessLine(t *testing.T) {
	t.Parallel()
	endless := io.LimitReader(xs{}, MaxLine+MaxLine/4)
	l := NewLines(io.MultiReader(endless, strings.NewReader("\nnext")), '\n', true)
	in, err := l.Next(t.Context())
	var long *TooLongError
	if err != nil || !errors.As(in.Err, &long) || long.Size != MaxLine+MaxLine/4 || cap(in.Text) > 1000 {
		t.Errorf("%d bytes kept, %v, %v", cap(in.Text), in.Err, err)
	}
	if in, err := l.Next(t.Context()); err != nil || string(in.Text) != "next" || in.Line != 2 {
		t.Errorf("%+v, %v", in, err)
	}
}

type xs struct{}

func (xs) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("a\n\nb"), byte('\n'), true)
	f.Add([]byte("[1]\n  \n"), byte('\n'), false)
	f.Fuzz(func(t *testing.T, text []byte, end byte, plain bool) {
		got := readAll(t, NewLines(bytes.NewReader(text), end, plain))
		var want []string
		parts := strings.Split(string(text), string([]byte{end}))
		if parts[len(parts)-1] == "" {
			parts = parts[:len(parts)-1] // what follows the last end is no line
		}
		for _, part := range parts {
			if plain || len(bytes.TrimSpace([]byte(part))) > 0 {
				want = append(want, part)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

// A read that waits for a pipe ends with the context; what the pipe has is then still
// there.
func TestReader(t *testing.T) {
	t.Parallel()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r, done, err := Reader(ctx, in)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if _, err := out.WriteString("x"); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, err := r.Read(b); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	ended := make(chan error)
	go func() {
		_, err := r.Read(b)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a/2", "a/10", "a/b/c", "z", "single"} {
		write(name)
	}
	for link, target := range map[string]string{"a/link": "../z", "linked": "a", "a/loop": ".", "to_file": "z", "a/b/dangling": "nowhere"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a/fifo", "fifo"} {
		if err := unix.Mkfifo(filepath.Join(dir, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mknod(filepath.Join(dir, "a/socket"), unix.S_IFSOCK|0o600, 0); err != nil {
		t.Fatal(err)
	}
	f, err := NewFiles([]string{filepath.Join(dir, "a"), filepath.Join(dir, "linked"), filepath.Join(dir, "single"),
		filepath.Join(dir, "to_file"), filepath.Join(dir, "fifo")})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var got []string
	for _, path := range readAll(t, f) {
		got = append(got, strings.TrimPrefix(path, dir+"/"))
	}
	want := []string{"a/10", "a/2", "a/b/c", "linked/10", "linked/2", "linked/b/c", "single", "to_file", "fifo"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	passed := []Passed{{"symbolic link", "symbolic links", 6}, {"FIFO", "FIFOs", 2}, {"socket", "sockets", 2}}
	if diff := cmp.Diff(passed, f.Passed()); diff != "" {
		t.Error(diff)
	}
	if n, ok := CountFiles(t.Context(), []string{dir}); !ok || n != 5 {
		t.Errorf("%d files", n)
	}
	if _, err := NewFiles([]string{filepath.Join(dir, "nowhere")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
