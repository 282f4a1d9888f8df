// Package sharedmem is memory that a parent and its executor both see: large inputs
// and outputs travel in it instead of through the pipes, which copy them twice, 64 KiB
// at a time.
//
// pool makes an [Offer] for each process it starts and internal/executor takes it up
// with [Accept]; what is in the memory is told by messages on the pipes (package
// protocol). An executor that knows nothing of offers never looks at its environment
// or descriptor 3, and its parent finds no answer in the memory: then all goes
// through the pipes. So does what a parent that knows nothing of offers sends.
//
// The memory is a memfd of a fixed size. Only what is used of it takes memory.
//
//	offset 0     the executor's word: magic (8 bytes), its process id (u32)
//	offset 64    the parent's word: withdrawn (u32, 0 or 1), released (u32, a count), and
//	             the process id of whom the offer is made to (u32)
//	offset 4096  one payload: inputs, and after the task has returned its outputs
//
// All integers are in the machine's byte order. The parent writes inputs, sends a
// request and leaves the payload alone until the answer; the executor has the task
// read them in place, and then copies the outputs over them. As there is one payload,
// there is one request under way: a parent that sends several ahead withdraws its
// offer first.
//
// Neither side trusts lengths to the memory, they come by pipe. The size is sealed, so
// that nobody can make a mapping fault by truncating the file; before memory is
// written it is reserved, so that running out of it is an error and no fault; and the
// parent copies outputs before it reads them, with faults turned into errors, since
// code in the executor may write and free the memory at any moment. Such code can spoil
// its own results, and nothing else.
package sharedmem
