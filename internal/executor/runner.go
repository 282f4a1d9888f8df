package executor

import "github.com/spider-go/spider/internal/protocol"

// A Runner runs tasks, one at a time, always on the thread that called [Main].
type Runner interface {
	// Run runs one task to its end. The request is valid only during the call;
	// the outcome's payload stays valid until Release, which [Serve] calls once
	// it has copied it. A failure's payload is an encoded
	// [protocol.ExecutorError]. Run does not return if the task kills the
	// process: the missing answer is how the parent learns of it.
	Run(e *protocol.Execute) protocol.Outcome

	// Release gives back what the last outcome's payload lives in.
	Release()
}

// Fail is the outcome of a request that ended in e.
func Fail(e *protocol.ExecutorError) protocol.Outcome {
	return protocol.Outcome{Failure: true, Payload: e.Append(nil)}
}

// FailTask is the outcome of a task that ended in an error of the given variant.
func FailTask(variant protocol.TdlVariant, message string) protocol.Outcome {
	return Fail(&protocol.ExecutorError{
		Variant: protocol.TaskError,
		Task:    &protocol.TdlError{Variant: variant, Message: message},
	})
}
