package pool

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Times are as good as any others: a breaker knows no clock.
var noon = time.Date(2001, 2, 3, 12, 0, 0, 0, time.UTC)

func TestBreakerBackoff(t *testing.T) {
	t.Parallel()
	var b breaker
	if wait, refused := b.wait(noon); wait != 0 || refused {
		t.Fatalf("the zero breaker: %v, %v", wait, refused)
	}
	const ms = time.Millisecond
	now := noon
	for i, want := range []time.Duration{
		10 * ms, 20 * ms, 40 * ms, 80 * ms, 160 * ms, 320 * ms, 640 * ms, 1280 * ms, 2560 * ms,
		5 * time.Second, 5 * time.Second, 5 * time.Second,
	} {
		b.failed(now, nil)
		wait, refused := b.wait(now)
		if wait != want {
			t.Errorf("after death %d: %v, want %v", i+1, wait, want)
		}
		if refused != (i+1 >= 5) {
			t.Errorf("after death %d: refused %v", i+1, refused)
		}
		// The wait gets shorter as time goes by, and what is refused stays refused.
		later, still := b.wait(now.Add(want - 1))
		if later != 1 || still != refused {
			t.Errorf("after death %d, just before the end: %v, %v", i+1, later, still)
		}
		now = now.Add(want)
		if wait, refused := b.wait(now); wait != 0 || refused {
			t.Errorf("after death %d and the wait: %v, %v", i+1, wait, refused)
		}
	}
}

// Any number of deaths is counted, none overflows.
func TestBreakerManyDeaths(t *testing.T) {
	t.Parallel()
	var b breaker
	for range 10_000 {
		b.failed(noon, nil)
		if wait, _ := b.wait(noon); wait <= 0 || wait > 5*time.Second {
			t.Fatalf("after %d deaths: %v", b.deaths, wait)
		}
	}
	if b.deaths != 10_000 {
		t.Errorf("%d deaths", b.deaths)
	}
}

// One success makes all well; the next death is the first.
func TestBreakerRecovers(t *testing.T) {
	t.Parallel()
	var b breaker
	for range 9 {
		b.failed(noon, errors.New("dead"))
	}
	b.succeeded()
	if b != (breaker{}) {
		t.Errorf("%+v", b)
	}
	b.failed(noon, nil)
	if wait, refused := b.wait(noon); wait != 10*time.Millisecond || refused {
		t.Errorf("%v, %v", wait, refused)
	}
}

// A death long ago keeps nobody waiting.
func TestBreakerForgets(t *testing.T) {
	t.Parallel()
	var b breaker
	for range 2 * breakAfter {
		b.failed(noon, nil)
	}
	if wait, refused := b.wait(noon.Add(time.Hour)); wait != 0 || refused {
		t.Errorf("an hour later: %v, %v", wait, refused)
	}
}

func TestBreakerError(t *testing.T) {
	t.Parallel()
	cause := errors.New("the reason")
	for _, c := range []struct {
		err  BreakerError
		says string
	}{
		{BreakerError{Deaths: 7, Until: noon, Err: cause}, "the executor has died while starting 7 times in a row"},
		{BreakerError{Package: "p", Deaths: 5, Until: noon, Err: cause}, "package p: executors have died while loading it 5 times in a row"},
	} {
		text := c.err.Error()
		if !strings.Contains(text, c.says) || !strings.Contains(text, "12:00:00") || !strings.Contains(text, "the reason") {
			t.Errorf("%q", text)
		}
		if !errors.Is(&c.err, cause) || !Retryable(&c.err) || *(&Counts{NotStarted: 1}).of(&c.err) != 1 {
			t.Errorf("%v", &c.err)
		}
	}
}

// sleep ends with its time or with the context, whichever comes first.
func TestSleep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !sleep(t.Context(), time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("%v", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began = time.Now()
		if sleep(ctx, time.Minute) || time.Since(began) != time.Second {
			t.Errorf("with a context: %v", time.Since(began))
		}
	})
}

// loadRefused tells a package's wait from its refusal, and one version from another.
func TestLoadRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		file := packageFile{path: "a", size: 1}
		p := &Pool{loads: map[string]*loadBreaker{"p": {file: file}}}
		b := p.loads["p"]
		for deaths := 1; deaths < 8; deaths++ {
			b.failed(time.Now(), errors.New("dead"))
			broken, wait := p.loadRefused("p", file)
			if broken == nil || broken.Deaths != deaths || (wait == 0) != (deaths >= breakAfter) {
				t.Fatalf("after %d deaths: %v, %v", deaths, broken, wait)
			}
			if broken, _ := p.loadRefused("p", packageFile{path: "a", size: 2}); broken != nil {
				t.Errorf("another version: %v", broken)
			}
			if broken, _ := p.loadRefused("q", file); broken != nil {
				t.Errorf("another package: %v", broken)
			}
			time.Sleep(time.Until(b.until))
			if broken, wait := p.loadRefused("p", file); broken != nil || wait != 0 {
				t.Errorf("later: %v, %v", broken, wait)
			}
		}
	})
}

// What a caller did says nothing about the package that was being loaded.
func TestLoadDied(t *testing.T) {
	t.Parallel()
	p := &Pool{cfg: Config{Timeout: time.Second, LoadTimeout: time.Minute}}
	crash := func(killed string) error { return &CrashError{Report{Exit: Exit{Killed: killed}}} }
	for _, c := range []struct {
		err  error
		died bool
	}{
		{&ExecutorError{Kind: InvalidLibrary}, false},
		{crash(""), true},
		{crash("it has too much memory"), true},
		{crash(canceledReason), false},
		{crash(closedReason), false},
		{crash(killedReason), false},
		{&TimeoutError{Limit: time.Minute}, true},
		{&TimeoutError{Limit: time.Second}, true},
		{&TimeoutError{Limit: time.Millisecond}, false},
		{&ProtocolError{}, true},
	} {
		if p.loadDied(c.err) != c.died {
			t.Errorf("%#v: %v, want %v", c.err, !c.died, c.died)
		}
	}
}
