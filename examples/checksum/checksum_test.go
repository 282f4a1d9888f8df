package checksum_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"github.com/spider-go/spider/internal/tasktest"
	"github.com/spider-go/spider/pool"
	"github.com/spider-go/spider/tdl"
)

// build makes the programs, and the package in a folder of its own.
func build(t *testing.T) (_ tasktest.Built, dir string) {
	t.Helper()
	built, err := tasktest.Build()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := tasktest.BuildExamplesC(dir); err != nil {
		t.Fatal(err)
	}
	return built, dir
}

// start runs the real executor with the package.
func start(t *testing.T) *pool.Process {
	t.Helper()
	built, dir := build(t)
	p, err := pool.StartProcess(pool.ProcessConfig{Executor: built.Executor, PackageDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func run(p *pool.Process, task string, inputs []byte) ([]byte, error) {
	result, err := p.Execute(pool.Request{
		Package: "checksum", Task: task, Context: tasktest.Context(), Inputs: inputs,
	}, time.Minute)
	return result.Outputs, err
}

// call runs a task that must succeed, and reads its results into ptrs.
func call(t *testing.T, p *pool.Process, task string, args []any, ptrs ...any) {
	t.Helper()
	out, err := run(p, task, tasktest.Inputs(args...))
	if err == nil {
		err = tasktest.Outputs(out, ptrs...)
	}
	if err != nil {
		t.Fatalf("%s: %v", task, err)
	}
}

func file(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func random(n int) []byte {
	b := make([]byte, n)
	source := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	_, _ = source.Read(b)
	return b
}

// sizes are around every step of the algorithms and the block that files are
// read in.
var sizes = []int{
	0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 15, 16, 31, 32, 33, 63, 64, 65, 100, 4095, 4096,
	256<<10 - 1, 256 << 10, 256<<10 + 1, 256<<10 + 31, 3<<20 + 17,
}

func TestCRC32(t *testing.T) {
	t.Parallel()
	p := start(t)
	contents := [][]byte{[]byte("123456789")}
	for _, n := range sizes {
		contents = append(contents, random(n))
	}
	for i, content := range contents {
		want := crc32.ChecksumIEEE(content)
		if i == 0 && want != 0xcbf43926 {
			t.Fatal("the check value of CRC-32 is another")
		}
		var crc, n uint64
		call(t, p, "crc32", []any{file(t, content)}, &crc, &n)
		if crc != uint64(want) || n != uint64(len(content)) {
			t.Errorf("%d bytes of file: %#x, %d; want %#x", len(content), crc, n, want)
		}
		call(t, p, "crc32_bytes", []any{content}, &crc)
		if crc != uint64(want) {
			t.Errorf("%d bytes: %#x; want %#x", len(content), crc, want)
		}
	}
}

// Bytes may come as msgpack's bin too.
func TestCRC32OfBin(t *testing.T) {
	t.Parallel()
	payload := append([]byte{0xc4, 9}, "123456789"...)
	inputs := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0}, uint32(len(payload)))
	out, err := run(start(t), "crc32_bytes", append(inputs, payload...))
	var crc uint64
	if err == nil {
		err = tasktest.Outputs(out, &crc)
	}
	if err != nil || crc != 0xcbf43926 {
		t.Errorf("%#x, %v", crc, err)
	}
}

// The published vectors of XXH64: the first bytes of a fixed sequence, with and
// without a seed.
func TestXXH64(t *testing.T) {
	t.Parallel()
	const prime32, prime64 = 2654435761, 11400714785074694797
	buffer := make([]byte, 222)
	for i, g := 0, uint64(prime32); i < len(buffer); i, g = i+1, g*prime64 {
		buffer[i] = byte(g >> 56)
	}
	p := start(t)
	for _, c := range []struct {
		content []byte
		seed    uint64
		want    uint64
	}{
		{buffer[:0], 0, 0xef46db3751d8e999},
		{buffer[:0], prime32, 0xac75fda2929b17ef},
		{buffer[:1], 0, 0xe934a84adb052768},
		{buffer[:1], prime32, 0x5014607643a9b4c3},
		{buffer[:4], 0, 0x9136a0dca57457ee},
		{buffer[:14], 0, 0x8282dcc4994e35c8},
		{buffer[:14], prime32, 0xc3bd6bf63deb6df0},
		{buffer, 0, 0xb641ae8cb691c174},
		{buffer, prime32, 0x20cb8ab7ae10c14a},
		{[]byte("a"), 1<<64 - 1, 6972758980737027682},
	} {
		var got uint64
		if call(t, p, "xxh64", []any{file(t, c.content), c.seed}, &got); got != c.want {
			t.Errorf("%d bytes, seed %d: %#x, want %#x", len(c.content), c.seed, got, c.want)
		}
	}
}

// A zstd frame ends with the low half of the XXH64 of its content: another
// implementation to compare with, at any length.
func TestXXH64AgainstZstd(t *testing.T) {
	t.Parallel()
	e, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(true), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p := start(t)
	for _, n := range sizes[1:] { // an empty frame has no checksum
		content := random(n)
		frame := e.EncodeAll(content, nil)
		var got uint64
		call(t, p, "xxh64", []any{file(t, content), 0}, &got)
		if want := binary.LittleEndian.Uint32(frame[len(frame)-4:]); uint32(got) != want {
			t.Errorf("%d bytes: %#x, want ...%08x", n, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	p := start(t)
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing")
	for _, c := range []struct {
		task  string
		args  []any
		kind  tdl.ErrorKind
		texts []string
	}{
		{"no_such_task", nil, tdl.TaskNotFound, []string{"no_such_task"}},
		{"crc32", []any{missing}, tdl.ExecutionError, []string{missing, syscall.ENOENT.Error()}},
		{"xxh64", []any{dir, 0}, tdl.ExecutionError, []string{dir, syscall.EISDIR.Error()}},
		{"crc32", []any{""}, tdl.ExecutionError, []string{syscall.ENOENT.Error()}},
		{"crc32", []any{"a\x00b"}, tdl.DeserializationError, []string{"crc32", "parameter 1 (path)", "NUL"}},
		{"crc32", []any{1}, tdl.DeserializationError, []string{"crc32", "parameter 1 (path)", "want a string, got an integer"}},
		{"xxh64", []any{missing, -1}, tdl.DeserializationError, []string{"xxh64", "parameter 2 (seed)", "a negative integer"}},
		{"xxh64", []any{missing}, tdl.DeserializationError, []string{"xxh64", "parameter 2 (seed)", "missing"}},
		{"crc32", []any{missing, 1}, tdl.DeserializationError, []string{"crc32", "want 1 arguments, got 2"}},
		{"crc32_bytes", []any{[]int{1, 2, 256}}, tdl.DeserializationError, []string{"parameter 1 (data)", "256"}},
		{"crc32_bytes", []any{"text"}, tdl.DeserializationError, []string{"parameter 1 (data)", "got a string"}},
	} {
		_, err := run(p, c.task, tasktest.Inputs(c.args...))
		var failed *tdl.Error
		if !errors.As(err, &failed) || failed.Kind != c.kind {
			t.Errorf("%s%v: got %v, want a %s", c.task, c.args, err, c.kind)
			continue
		}
		for _, text := range c.texts {
			if !strings.Contains(strings.ToLower(failed.Message), strings.ToLower(text)) {
				t.Errorf("%s%v: %q does not contain %q", c.task, c.args, failed.Message, text)
			}
		}
	}
	if out, err := run(p, "crc32", nil); err == nil {
		t.Errorf("no inputs: %x", out)
	}
}

// The package tells about every task it has.
func TestDescription(t *testing.T) {
	t.Parallel()
	built, dir := build(t)
	cmd := exec.Command(built.Executor, "--describe", "checksum")
	cmd.Env = append(os.Environ(), "SPIDER_TDL_PACKAGE_DIR="+dir)
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var d tdl.Description
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, task := range d.Tasks {
		names = append(names, task.Name)
	}
	if diff := cmp.Diff([]string{"crc32", "xxh64", "crc32_bytes"}, names); diff != "" || d.Name != "checksum" || d.Format != 1 {
		t.Errorf("%+v\n%s", d, diff)
	}
}

// A pointer whose length is 0 means nothing, and no result is at NULL.
func TestZeroLengthPointers(t *testing.T) {
	t.Parallel()
	_, dir := build(t)
	host := filepath.Join(t.TempDir(), "host")
	if err := tasktest.BuildHost("zero_host", host); err != nil {
		t.Fatal(err)
	}
	library := filepath.Join(dir, "checksum", "libchecksum.so")
	if text, err := exec.Command(host, library, "crc32").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}
