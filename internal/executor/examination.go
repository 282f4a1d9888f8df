package executor

import "encoding/json"

// The steps of an examination, in their order. Init is skipped where a library has none.
const (
	StepOpen     = "open"     // the file, and all it depends on
	StepVersion  = "version"  // which ABI it was built for
	StepName     = "name"     // what it calls itself
	StepInit     = "init"     // its own preparations
	StepExecute  = "execute"  // has it the function that runs tasks
	StepDescribe = "describe" // what it says of itself
)

// Finding is one line of what an executor prints with --examine FILE: a step that begins,
// then the same step when it is done. The last step that has only begun is the one
// in which the process has died or hangs.
type Finding struct {
	Step string `json:"step"`
	Done bool   `json:"done,omitempty"`

	// Value is the version, or the name, of a step that is done.
	Value string `json:"value,omitempty"`

	// Error says why the library is refused. Only of describe it is no reason to.
	Error string `json:"error,omitempty"`

	Description json.RawMessage `json:"description,omitempty"`
}
