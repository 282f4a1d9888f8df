#define _GNU_SOURCE
#include "signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
#include <sys/syscall.h>

/*
 * FAULTS. Go's own handlers turn a fault in native code into exit status 2 and
 * pages of goroutine traces. The parent should see the true signal instead. But
 * each Go runtime in the process needs to see the faults of its own Go code,
 * since that is how a nil dereference becomes a panic that can be recovered.
 *
 * So on_fault stands in front of all of them. A signal that somebody sent
 * (raise, abort, kill) is taken at its word. A real fault is offered to the
 * handlers that libraries installed, the newest first. A Go runtime that finds
 * the fault is not in its own code forwards it to the handler that was there
 * when it was loaded, and that is on_fault again: the depth counter then makes it
 * ask the next older one. When none is left, a fault in the executor's own text
 * goes to the host's Go runtime, and anything else is the end.
 *
 * PREEMPTION. A Go runtime stops its goroutines with SIGURG, and each runtime
 * that is loaded replaces the handler of the one before without forwarding. So
 * on_urgent hands each SIGURG to every runtime; one that did not mean it ignores
 * it. Only a runtime that is not yet initialised (a library's does that on a
 * thread of its own, after dlopen has returned) forwards it to the handler it
 * found, which is on_urgent: handing_on ends the circle.
 */

static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
#define FAULTS (sizeof(fault_signals) / sizeof(fault_signals[0]))

/* One table per signal. Entry 0 is the host's own handler; entries are only
 * ever added, by the task thread, and the count is raised after the entry is
 * complete, so that a handler on another thread sees whole entries. */
enum { MAX_HANDLERS = 256 };
struct chain {
	struct sigaction handler[MAX_HANDLERS];
	int count;
};
static struct chain fault_chain[FAULTS];
static struct chain urgent_chain;
static bool guard_faults, guard_preemption;

static __thread int fault_depth; /* in the chain of adopted handlers */
static __thread uintptr_t fault_frame; /* of the outermost on_fault on this thread */
static __thread bool handing_on;

/* The executor's own code, from the linker. */
extern char __executable_start[], etext[];

static uintptr_t fault_pc(void *context)
{
	ucontext_t *uc = context;
#if defined(__x86_64__)
	return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (uintptr_t)uc->uc_mcontext.pc;
#else
#error "which register holds the program counter here?"
#endif
}

static bool in_own_text(uintptr_t pc)
{
	return pc >= (uintptr_t)__executable_start && pc < (uintptr_t)etext;
}

static struct chain *chain_of(int sig)
{
	for (size_t i = 0; i < FAULTS; i++)
		if (fault_signals[i] == sig)
			return &fault_chain[i];
	return NULL;
}

static bool callable(const struct sigaction *a)
{
	return (a->sa_flags & SA_SIGINFO) != 0 ||
	       (a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN);
}

static void call(const struct sigaction *a, int sig, siginfo_t *info, void *context)
{
	if (a->sa_flags & SA_SIGINFO)
		a->sa_sigaction(sig, info, context);
	else
		a->sa_handler(sig);
}

/* Ends the process by sig. A fault happens again as soon as the handler returns;
 * anything else (and a trap, whose program counter is already past it) has to be
 * raised again, and is delivered at the same moment. */
static void die_of(int sig, bool again)
{
	struct sigaction dfl;
	sigset_t set;

	memset(&dfl, 0, sizeof(dfl));
	dfl.sa_handler = SIG_DFL;
	sigaction(sig, &dfl, NULL);
	sigemptyset(&set);
	sigaddset(&set, sig);
	if (!again) {
		syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
		pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	}
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	int saved_errno = errno;
	bool sent = info->si_code <= 0; /* SI_USER, SI_TKILL, SI_QUEUE */
	bool again = !sent && sig != SIGTRAP && sig != SIGSYS && sig != SIGABRT;
	struct chain *chain = chain_of(sig);
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	int depth;

	/* A handler that was left by siglongjmp never came back to count down. It is
	 * not below us on the stack, as one that forwards to us is. */
	if (fault_depth > 0 && here >= fault_frame)
		fault_depth = 0;
	if (fault_depth == 0)
		fault_frame = here;
	depth = fault_depth;
	int next = __atomic_load_n(&chain->count, __ATOMIC_ACQUIRE) - 1 - depth;

	while (next > 0 && !callable(&chain->handler[next]))
		next--, depth++;
	if (sent) {
		die_of(sig, again);
	} else if (next > 0) {
		fault_depth = depth + 1;
		call(&chain->handler[next], sig, info, context);
		fault_depth = 0;
	} else if (in_own_text(fault_pc(context)) && callable(&chain->handler[0])) {
		call(&chain->handler[0], sig, info, context);
	} else {
		die_of(sig, again);
	}
	errno = saved_errno;
}

static void on_urgent(int sig, siginfo_t *info, void *context)
{
	int saved_errno = errno;
	int count = __atomic_load_n(&urgent_chain.count, __ATOMIC_ACQUIRE);

	if (handing_on)
		return;
	handing_on = true;
	for (int i = 0; i < count; i++)
		if (callable(&urgent_chain.handler[i]))
			call(&urgent_chain.handler[i], sig, info, context);
	handing_on = false;
	errno = saved_errno;
}

/* take puts ours in front of whatever handles sig now, and remembers that. */
static int take(int sig, struct chain *chain, void (*ours)(int, siginfo_t *, void *))
{
	struct sigaction now, front;
	int n = chain->count;

	if (sigaction(sig, NULL, &now) != 0)
		return errno;
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == ours)
		return 0;
	/* More handlers than anybody loads: keep the newest working. */
	if (n == MAX_HANDLERS)
		n--;
	chain->handler[n] = now;
	__atomic_store_n(&chain->count, n + 1, __ATOMIC_RELEASE);

	memset(&front, 0, sizeof(front));
	front.sa_sigaction = ours;
	/* ONSTACK: the fault may be that the stack is used up. Everything blocked:
	 * Go's handlers expect it. */
	front.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
	sigfillset(&front.sa_mask);
	return sigaction(sig, &front, NULL) == 0 ? 0 : errno;
}

static int take_all(void)
{
	int err = 0;

	for (size_t i = 0; guard_faults && i < FAULTS && err == 0; i++)
		err = take(fault_signals[i], &fault_chain[i], on_fault);
	if (guard_preemption && err == 0)
		err = take(SIGURG, &urgent_chain, on_urgent);
	return err;
}

/* A write to a closed pipe is an error where it happens, not the end of the
 * process; each Go library installs a handler for it. */
static void ignore_sigpipe(void)
{
	signal(SIGPIPE, SIG_IGN);
}

int spider_install_signals(bool faults, bool preemption)
{
	sigset_t set;

	guard_faults = faults;
	guard_preemption = preemption;
	ignore_sigpipe();

	/* SIGTERM ends the process at once and visibly, also inside a task and
	 * also if the parent had it blocked. */
	signal(SIGTERM, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	for (size_t i = 0; faults && i < FAULTS; i++)
		sigaddset(&set, fault_signals[i]);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	return take_all();
}

void spider_adopt_handlers(void)
{
	ignore_sigpipe();
	take_all();
}
