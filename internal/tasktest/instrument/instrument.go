// Package instrument is what the instrument task and the overhead report must
// agree on: how long the task sleeps, and how.
package instrument

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// EnvSleep sets how long the instrument task sleeps, in microseconds.
const EnvSleep = "SPIDER_INSTRUMENT_SLEEP_US"

// defaultSleep stands for a short native task. It is as short as the
// scheduler's own granularity, so reports measure the sleep they subtract.
const defaultSleep = 50 * time.Microsecond

// Sleep is how long the instrument task sleeps: the one place from
// which the package and the overhead report both know it.
func Sleep() time.Duration {
	if us, err := strconv.ParseUint(os.Getenv(EnvSleep), 10, 32); err == nil {
		return time.Duration(us) * time.Microsecond
	}
	return defaultSleep
}

// Nanosleep blocks the thread in one nanosleep system call. [time.Sleep] would
// take over a millisecond for 50 us: the runtime's poller counts in milliseconds
// when it is otherwise idle.
func Nanosleep(d time.Duration) {
	if d <= 0 {
		return // even a sleep of 0 costs a timer
	}
	left := unix.NsecToTimespec(int64(d))
	for unix.Nanosleep(&left, &left) == unix.EINTR {
	}
}
