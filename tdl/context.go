package tdl

import (
	"bytes"
	"fmt"

	"github.com/tinylib/msgp/msgp"

	"github.com/spider-go/spider/internal/msgpack"
	"github.com/spider-go/spider/internal/wire"
)

// TaskID says which task of a job's graph runs: the one at an index, or the
// job's commit or cleanup task. The zero TaskID is the task at index 0.
type TaskID struct {
	kind  taskKind
	index uint64
}

type taskKind uint8

const (
	kindIndex taskKind = iota
	kindCommit
	kindCleanup
)

// The task ids without an index.
var (
	Commit  = TaskID{kind: kindCommit}
	Cleanup = TaskID{kind: kindCleanup}
)

// Index is the id of the n-th task of the graph.
func Index(n uint64) TaskID { return TaskID{index: n} }

// Index returns the task's place in the graph; ok is false for a commit or
// cleanup task.
func (id TaskID) Index() (n uint64, ok bool) { return id.index, id.kind == kindIndex }

func (id TaskID) String() string {
	switch id.kind {
	case kindCommit:
		return "commit task"
	case kindCleanup:
		return "cleanup task"
	}
	return fmt.Sprintf("task %d", id.index)
}

// TaskContext tells a task who it is. Its fields are for reading; contexts are
// built with [NewTaskContext] and [NewCommitContext], and what these would refuse
// is not encoded.
type TaskContext struct {
	JobID           uint64
	TaskID          TaskID
	TaskInstanceID  uint64
	ResourceGroupID uint64

	outputs    []byte // the raw task outputs buffer
	hasOutputs bool
}

// NewTaskContext builds the context of a graph or cleanup task. A commit task's
// context needs the outputs of the graph: for it, use [NewCommitContext].
// The error is an *[Error] of kind InvalidTaskContext.
func NewTaskContext(jobID uint64, id TaskID, instanceID, resourceGroupID uint64) (TaskContext, error) {
	c := TaskContext{JobID: jobID, TaskID: id, TaskInstanceID: instanceID, ResourceGroupID: resourceGroupID}
	if err := c.contradiction(); err != nil {
		return TaskContext{}, err
	}
	return c, nil
}

// contradiction says what keeps c from being sent, as an *[Error].
func (c TaskContext) contradiction() error {
	switch {
	case c.TaskID == Commit && !c.hasOutputs:
		return Errorf(InvalidTaskContext, "a commit task's context needs the outputs of the task graph")
	case c.TaskID != Commit && c.hasOutputs:
		return Errorf(InvalidTaskContext, "only a commit task's context has outputs of the task graph, but this is of %v", c.TaskID)
	}
	return nil
}

// NewCommitContext builds the context of a commit task from the outputs of the
// graph, one msgpack value each.
func NewCommitContext(jobID, instanceID, resourceGroupID uint64, outputs [][]byte) (TaskContext, error) {
	raw, err := wire.EncodeOutputs(outputs)
	if err != nil {
		return TaskContext{}, Errorf(InvalidTaskContext, "task graph outputs: %v", err)
	}
	return TaskContext{
		JobID: jobID, TaskID: Commit, TaskInstanceID: instanceID, ResourceGroupID: resourceGroupID,
		outputs: raw, hasOutputs: true,
	}, nil
}

// GraphOutputs are the outputs of a task graph, one msgpack value each.
type GraphOutputs [][]byte

// Decode reads the i-th output, from 0, into what ptr points to. The error is an
// *[Error] of kind DeserializationError, also if there is no such output.
func (o GraphOutputs) Decode(i int, ptr any) error {
	if i < 0 || i >= len(o) {
		return Errorf(DeserializationError, "there is no output %d of the task graph, which has %d", i, len(o))
	}
	if err := DecodeValue(o[i], ptr); err != nil {
		return Errorf(DeserializationError, "output %d of the task graph: %v", i, err.(*Error).Message)
	}
	return nil
}

// TaskGraphOutputs returns what the graph produced. ok is false, with no error, if
// the context has none, as every context but a commit task's. The error is an
// *[Error] of kind DeserializationError.
func (c TaskContext) TaskGraphOutputs() (outputs GraphOutputs, ok bool, err error) {
	if !c.hasOutputs {
		return nil, false, nil
	}
	values, err := wire.DecodeOutputs(c.outputs)
	if err != nil {
		return nil, true, Errorf(DeserializationError, "task graph outputs: %v", err)
	}
	return values, true, nil
}

// contextWire is the context on the wire: an array of exactly five, or a map of
// these names.
type contextWire struct {
	JobID           uint64     `tdl:"job_id"`
	TaskID          taskIDWire `tdl:"task_id"`
	TaskInstanceID  uint64     `tdl:"task_instance_id"`
	ResourceGroupID uint64     `tdl:"resource_group_id"`
	Outputs         *[]byte    `tdl:"serialized_task_graph_outputs"`
}

type taskIDWire struct {
	msgpack.Enum
	Index   *uint64
	Commit  *msgpack.Unit
	Cleanup *msgpack.Unit
}

// Encode returns the context as it travels. The error is an *[Error] of kind
// InvalidTaskContext: it is a commit task's without the outputs of the graph, or
// another's with them. What the constructors return is neither.
func (c TaskContext) Encode() ([]byte, error) {
	if err := c.contradiction(); err != nil {
		return nil, err
	}
	return c.encode(), nil
}

func (c TaskContext) encode() []byte {
	w := contextWire{JobID: c.JobID, TaskInstanceID: c.TaskInstanceID, ResourceGroupID: c.ResourceGroupID}
	switch c.TaskID.kind {
	case kindCommit:
		w.TaskID.Commit = &msgpack.Unit{}
	case kindCleanup:
		w.TaskID.Cleanup = &msgpack.Unit{}
	default:
		w.TaskID.Index = &c.TaskID.index
	}
	if c.hasOutputs {
		w.Outputs = &c.outputs
	}
	b, err := msgpack.Append(nil, &w)
	if err != nil {
		// Every value of these types has a form.
		panic(err)
	}
	return b
}

// DecodeContext is for parents: it reads a context as it travels. The error is an
// *[Error] of kind DeserializationError.
func DecodeContext(b []byte) (TaskContext, error) {
	c, err := decodeContext(b)
	if err != nil {
		return c, Errorf(DeserializationError, "%w", err)
	}
	return c, nil
}

// decodeContext reads a context as it travels.
func decodeContext(b []byte) (TaskContext, error) {
	if c, ok := decodePlainContext(b); ok {
		return c, nil
	}
	return decodeAnyContext(b)
}

// What a plain context begins with, and what stands before its index.
const plainArray, plainIndex = "\x95", "\x81\xa5Index"

// decodePlainContext reads what nearly all contexts are: that of a task at an index, in
// the form in which serde writes it. It is on the way of every call.
func decodePlainContext(b []byte) (c TaskContext, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte(plainArray))
	if !ok {
		return c, false
	}
	var index uint64
	for i, n := range [...]*uint64{&c.JobID, &index, &c.TaskInstanceID, &c.ResourceGroupID} {
		if i == 1 {
			if rest, ok = bytes.CutPrefix(rest, []byte(plainIndex)); !ok {
				return c, false
			}
		}
		var err error
		if *n, rest, err = msgp.ReadUint64Bytes(rest); err != nil {
			return c, false
		}
	}
	c.TaskID = Index(index)
	return c, msgp.IsNil(rest)
}

// decodeAnyContext reads a context in any form that serde accepts.
func decodeAnyContext(b []byte) (TaskContext, error) {
	var w contextWire
	if _, err := msgpack.Decode(b, &w); err != nil {
		return TaskContext{}, fmt.Errorf("task context: %w (expected an array of 5: job_id, task_id, task_instance_id, resource_group_id, serialized_task_graph_outputs)", err)
	}
	c := TaskContext{JobID: w.JobID, TaskInstanceID: w.TaskInstanceID, ResourceGroupID: w.ResourceGroupID}
	switch {
	case w.TaskID.Commit != nil:
		c.TaskID = Commit
	case w.TaskID.Cleanup != nil:
		c.TaskID = Cleanup
	default:
		c.TaskID = Index(*w.TaskID.Index)
	}
	if w.Outputs != nil {
		c.outputs, c.hasOutputs = *w.Outputs, true
	}
	return c, nil
}
