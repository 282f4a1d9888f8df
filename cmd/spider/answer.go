package main

// noError is the answer no: the command has done what it is for, and the outcome is that
// something does not work. Its status is that of a task that has failed.
type noError struct{ message string }

func (e *noError) Error() string { return e.message }
