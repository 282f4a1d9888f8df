/*
 * misbehave.c - the package "misbehave": one task per thing a task must not be
 * able to harm its parent with. The table at the end names them all.
 *
 * Tasks ignore their context unless their name says otherwise. A task that is
 * expected to end the process answers "no result" if it did not.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tdl_value.h"

/* Every task has the same signature; few use all of it. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define MAX_PARAMS 2

extern char **environ;

enum kind { NO_PARAM, U64, STR };

struct param {
	enum kind kind;
	const char *name;
};

struct arg {
	uint64_t u64;
	char *str; /* NUL-terminated, of len bytes without it */
	size_t len;
};

struct call {
	SpiderTdlByteArray ctx, inputs;
	struct arg args[MAX_PARAMS];
};

struct task {
	const char *name;
	SpiderTdlResult (*run)(const struct call *c);
	bool raw; /* looks at the buffers itself: no parameters are decoded */
	struct param params[MAX_PARAMS];
};

static uint64_t calls;

static void sleep_ms(uint64_t ms)
{
	struct timespec left = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static SpiderTdlResult write_text(int fd, const char *text, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, text, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return spider_fail_errno("write");
		text += done;
		n -= (size_t)done;
	}
	return spider_answer_none();
}

static SpiderTdlResult wait_for(pid_t pid)
{
	while (waitpid(pid, NULL, 0) < 0) {
		if (errno != EINTR)
			return spider_fail_errno("waitpid");
	}
	return spider_answer_none();
}

static SpiderTdlResult run_in_thread(void *(*run)(void *))
{
	pthread_t thread;
	void *answer = NULL;

	errno = pthread_create(&thread, NULL, run, NULL);
	if (errno != 0)
		return spider_fail_errno("pthread_create");
	pthread_join(thread, &answer);
	return spider_answer_uint((uint64_t)(uintptr_t)answer);
}

/*
 * Faults. The volatiles keep the compiler from seeing, and dropping, them.
 */

static void fault(void)
{
	int *volatile nowhere = (int *)16;

	*nowhere = 1;
}

static SpiderTdlResult task_segv(const struct call *c)
{
	fault();
	return spider_answer_none();
}

static SpiderTdlResult task_segv_null_call(const struct call *c)
{
	void (*volatile nothing)(void) = NULL;

	nothing();
	return spider_answer_none();
}

static SpiderTdlResult task_bus(const struct call *c)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	volatile char *map;
	int fd = memfd_create("bus", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, (off_t)page) < 0)
		return spider_fail_errno("memfd_create");
	map = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || ftruncate(fd, 0) < 0)
		return spider_fail_errno("mmap");
	map[0] = 1;
	return spider_answer_none();
}

static SpiderTdlResult task_fpe(const struct call *c)
{
#if defined(__x86_64__) || defined(__i386__)
	volatile int zero = 0, quotient;

	quotient = 42 / zero;
	(void)quotient;
#else
	/* Integer division by zero does not trap on most other machines. */
	raise(SIGFPE);
#endif
	return spider_answer_none();
}

static SpiderTdlResult task_ill(const struct call *c)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("ud2");
#elif defined(__aarch64__)
	__asm__ volatile(".inst 0x00000000");
#else
	raise(SIGILL);
#endif
	return spider_answer_none();
}

static SpiderTdlResult task_abort(const struct call *c)
{
	abort();
}

/* On x86 the instruction is over when the signal comes: a handler that only
 * returns, for the fault to come again, lets the task go on. */
static SpiderTdlResult task_trap(const struct call *c)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("int3");
#elif defined(__aarch64__)
	__asm__ volatile("brk #0");
#else
	raise(SIGTRAP);
#endif
	return spider_answer_none();
}

static SpiderTdlResult task_sys(const struct call *c)
{
	raise(SIGSYS);
	return spider_answer_none();
}

static SpiderTdlResult task_raise(const struct call *c)
{
	if (raise((int)c->args[0].u64) != 0)
		return spider_fail_errno("raise");
	return spider_answer_none();
}

static void *fault_thread(void *unused)
{
	fault();
	return unused;
}

static SpiderTdlResult task_segv_in_thread(const struct call *c)
{
	return run_in_thread(fault_thread);
}

static volatile bool deep_enough;

static int recurse(volatile char *caller)
{
	volatile char frame[1024];

	if (deep_enough)
		return 0;
	frame[0] = (char)(*caller + 1);
	/* The addition after the call keeps it from becoming a jump. */
	return recurse(frame) + frame[0];
}

static SpiderTdlResult task_stack_overflow(const struct call *c)
{
	volatile char first = 0;

	return spider_answer_uint((uint64_t)recurse(&first));
}

static SpiderTdlResult task_double_free(const struct call *c)
{
	void *volatile block = malloc(64);

	free(block);
	free(block);
	return spider_answer_none();
}

/*
 * Ends.
 */

static SpiderTdlResult task_exit(const struct call *c)
{
	exit((int)c->args[0].u64);
}

static SpiderTdlResult task__exit(const struct call *c)
{
	_exit((int)c->args[0].u64);
}

static SpiderTdlResult task_pthread_exit(const struct call *c)
{
	pthread_exit(NULL);
}

static void *exit_thread(void *unused)
{
	exit(7);
}

static SpiderTdlResult task_exit_in_thread(const struct call *c)
{
	return run_in_thread(exit_thread);
}

static SpiderTdlResult task_kill_self(const struct call *c)
{
	if (kill(getpid(), (int)c->args[0].u64) < 0)
		return spider_fail_errno("kill");
	return spider_answer_none();
}

static void block(void)
{
	for (;;)
		pause();
}

/* An executor that ends through exit(3) never ends once this has run. */
static SpiderTdlResult task_atexit_block(const struct call *c)
{
	if (atexit(block) != 0)
		return spider_fail("atexit failed");
	return spider_answer_none();
}

static void loop(void)
{
	volatile bool on = true;

	while (on)
		;
}

static SpiderTdlResult task_endless_loop(const struct call *c)
{
	loop();
	return spider_answer_none();
}

static SpiderTdlResult task_sleep_ms(const struct call *c)
{
	sleep_ms(c->args[0].u64);
	return spider_answer_none();
}

static SpiderTdlResult task_block_forever(const struct call *c)
{
	block();
	return spider_answer_none();
}

static bool ends_in(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && strcmp(text + n - m, end) == 0;
}

/*
 * Adds up the bytes of a file, but for a path that ends in .crash, .hang, .exit,
 * .fail or .once, of which the last crashes the first time only.
 */
static SpiderTdlResult task_sum_file(const struct call *c)
{
	const char *path = c->args[0].str;
	uint64_t sum = 0;
	FILE *f;
	int b;

	if (ends_in(path, ".crash"))
		raise(SIGSEGV);
	if (ends_in(path, ".hang"))
		block();
	if (ends_in(path, ".exit"))
		exit(3);
	if (ends_in(path, ".fail"))
		return spider_fail("this file fails");
	f = fopen(path, ends_in(path, ".once") ? "r+" : "r");
	if (f == NULL)
		return spider_fail_errno("%s", path);
	while ((b = getc(f)) != EOF)
		sum += (uint64_t)b;
	if (ends_in(path, ".once") && sum == 0) {
		fputs("been here", f);
		fflush(f);
		raise(SIGSEGV);
	}
	fclose(f);
	return spider_answer_uint(sum);
}

/*
 * Printing: every way to reach what the package thinks is stdout.
 */

static SpiderTdlResult task_print_write(const struct call *c)
{
	return write_text(STDOUT_FILENO, c->args[0].str, c->args[0].len);
}

static SpiderTdlResult task_print_stdio(const struct call *c)
{
	printf("%s", c->args[0].str);
	return spider_answer_none();
}

static SpiderTdlResult task_print_stdio_full(const struct call *c)
{
	static char buffer[64 * 1024];

	/* glibc takes the size from its own idea when it allocates, so the
	 * buffer is ours. */
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	printf("%s", c->args[0].str);
	return spider_answer_none();
}

static SpiderTdlResult task_print_child(const struct call *c)
{
	char *argv[] = { "echo", c->args[0].str, NULL };
	pid_t pid;

	errno = posix_spawn(&pid, "/bin/echo", NULL, NULL, argv, environ);
	if (errno != 0)
		return spider_fail_errno("/bin/echo");
	return wait_for(pid);
}

static SpiderTdlResult task_print_system(const struct call *c)
{
	int status;

	/* Through the environment, so that no text can break the quotes. */
	setenv("MISBEHAVE_TEXT", c->args[0].str, 1);
	status = system("echo \"$MISBEHAVE_TEXT\"");
	unsetenv("MISBEHAVE_TEXT");
	if (status != 0)
		return spider_fail("system: wait status %d", status);
	return spider_answer_none();
}

static SpiderTdlResult task_print_fork(const struct call *c)
{
	pid_t pid = fork();

	if (pid < 0)
		return spider_fail_errno("fork");
	if (pid == 0) {
		write_text(STDOUT_FILENO, c->args[0].str, c->args[0].len);
		_exit(0);
	}
	return wait_for(pid);
}

static SpiderTdlResult task_print_proc_self_fd1(const struct call *c)
{
	SpiderTdlResult result;
	/* O_APPEND: a regular file would be written to from its start. */
	int fd = open("/proc/self/fd/1", O_WRONLY | O_APPEND | O_CLOEXEC);

	if (fd < 0)
		return spider_fail_errno("/proc/self/fd/1");
	result = write_text(fd, c->args[0].str, c->args[0].len);
	close(fd);
	return result;
}

static SpiderTdlResult task_print_stderr(const struct call *c)
{
	return write_text(STDERR_FILENO, c->args[0].str, c->args[0].len);
}

static SpiderTdlResult task_print_stderr_lines(const struct call *c)
{
	for (uint64_t i = 0; i < c->args[0].u64; i++)
		dprintf(STDERR_FILENO, "line %llu\n", (unsigned long long)i);
	return spider_answer_none();
}

/*
 * Descriptors.
 */

static SpiderTdlResult task_read_stdin(const struct call *c)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	uint64_t total = 0;
	char bytes[4096];
	ssize_t n;

	for (;;) {
		int ready = poll(&in, 1, 1000);

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready < 0)
			return spider_fail_errno("poll");
		if (ready == 0)
			return spider_fail("stdin blocks after %llu bytes", (unsigned long long)total);
		n = read(STDIN_FILENO, bytes, sizeof(bytes));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return spider_fail_errno("read");
		if (n == 0)
			return spider_answer_uint(total);
		total += (uint64_t)n;
	}
}

static SpiderTdlResult task_write_fd(const struct call *c)
{
	return write_text((int)c->args[0].u64, c->args[1].str, c->args[1].len);
}

/* Calls visit for every open descriptor but the one used for looking. */
static bool each_fd(void (*visit)(int fd, void *arg), void *arg)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;

	if (!dir)
		return false;
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] != '.' && fd != dirfd(dir))
			visit(fd, arg);
	}
	closedir(dir);
	return true;
}

static void count_fd(int fd, void *count)
{
	(*(uint64_t *)count)++;
}

static SpiderTdlResult task_count_fds(const struct call *c)
{
	uint64_t count = 0;

	if (!each_fd(count_fd, &count))
		return spider_fail_errno("/proc/self/fd");
	return spider_answer_uint(count);
}

static void count_private_fd(int fd, void *count)
{
	*(size_t *)count += fd > STDERR_FILENO;
}

static void list_private_fd(int fd, void *out)
{
	char path[64], target[256], text[384];
	ssize_t n;

	if (fd <= STDERR_FILENO)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target) - 1);
	target[n < 0 ? 0 : n] = '\0';
	snprintf(text, sizeof(text), "%d %s", fd, target);
	spider_write_cstr(out, text);
}

/* One string per descriptor from 3 on: its number, a space, what it is. */
static SpiderTdlResult task_list_private_fds(const struct call *c)
{
	struct spider_writer out = spider_results();
	size_t count = 0;

	each_fd(count_private_fd, &count);
	spider_write_array(spider_result(&out), count);
	if (!each_fd(list_private_fd, &out))
		return spider_fail_errno("/proc/self/fd");
	return spider_done(&out);
}

static SpiderTdlResult task_close_stderr(const struct call *c)
{
	close(STDERR_FILENO);
	return spider_answer_none();
}

/* As careless daemons do: all but the first three. */
static SpiderTdlResult task_close_files(const struct call *c)
{
	for (int fd = 3; fd < 100; fd++)
		close(fd);
	return spider_answer_none();
}

static void *write_to_closed_pipe(void *unused)
{
	int ends[2], error = 0;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return (void *)(uintptr_t)errno;
	close(ends[0]);
	if (write(ends[1], "x", 1) < 0)
		error = errno;
	close(ends[1]);
	return (void *)(uintptr_t)error;
}

static SpiderTdlResult task_sigpipe_thread(const struct call *c)
{
	return run_in_thread(write_to_closed_pipe);
}

/*
 * Forks. The children reset nothing: they keep every descriptor (exec drops
 * those marked close-on-exec) and every signal setting. Nobody waits for them.
 */

static SpiderTdlResult task_fork_sleep(const struct call *c)
{
	pid_t pid = fork();

	if (pid < 0)
		return spider_fail_errno("fork");
	if (pid == 0) {
		sleep_ms(c->args[0].u64);
		_exit(0);
	}
	return spider_answer_uint((uint64_t)pid);
}

/* posix_spawn returns a little before the child's close-on-exec descriptors are
 * gone. Its command line appears after that. */
static void wait_for_exec(pid_t pid)
{
	char path[64], first;
	ssize_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	/* Bounded: that of a child that has ended already stays empty. */
	for (int i = 0; i < 100 && n == 0; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return;
		n = read(fd, &first, 1);
		close(fd);
		if (n == 0)
			sleep_ms(1);
	}
}

static SpiderTdlResult task_fork_exec_sleep(const struct call *c)
{
	char seconds[32];
	char *argv[] = { "sleep", seconds, NULL };
	pid_t pid;

	snprintf(seconds, sizeof(seconds), "%llu", (unsigned long long)c->args[0].u64);
	errno = posix_spawn(&pid, "/bin/sleep", NULL, NULL, argv, environ);
	if (errno != 0)
		return spider_fail_errno("/bin/sleep");
	wait_for_exec(pid);
	return spider_answer_uint((uint64_t)pid);
}

static SpiderTdlResult task_fork_setsid_sleep(const struct call *c)
{
	pid_t pid = fork();

	if (pid < 0)
		return spider_fail_errno("fork");
	if (pid == 0) {
		setsid();
		sleep_ms(c->args[0].u64);
		_exit(0);
	}
	/* The answer promises that the child is out of the process group. */
	while (getsid(pid) != pid)
		sleep_ms(1);
	return spider_answer_uint((uint64_t)pid);
}

/* The child blocks where it could spin: it holds the same descriptors, and the
 * test keeps a core. */
static SpiderTdlResult task_fork_hold_endless(const struct call *c)
{
	pid_t pid = fork();

	if (pid < 0)
		return spider_fail_errno("fork");
	if (pid == 0)
		block();
	loop();
	return spider_answer_none();
}

/*
 * Outputs.
 */

/* Bytes of a sequence of one str32 payload before its text: the count, the
 * payload's length, the str32 header. */
#define OUTPUT_OVERHEAD (4 + 4 + 5)

/* A string in the long form at any length, so that every size can be had. */
static SpiderTdlResult task_output_bytes(const struct call *c)
{
	uint64_t n = c->args[0].u64, size = n - OUTPUT_OVERHEAD;
	SpiderTdlResult result = { false, NULL, n };

	if (n < OUTPUT_OVERHEAD || n > UINT32_MAX)
		return spider_fail("output_bytes: n is %d to %u", OUTPUT_OVERHEAD, UINT32_MAX);
	result.ptr = malloc(n);
	if (!result.ptr)
		return spider_fail_errno("malloc");
	spider_put_u32_(result.ptr, 1);
	spider_put_u32_(result.ptr + 4, (uint32_t)(n - 8));
	result.ptr[8] = 0xdb;
	for (int i = 0; i < 4; i++)
		result.ptr[9 + i] = (uint8_t)(size >> (8 * (3 - i)));
	for (uint64_t i = 0; i < size; i++)
		result.ptr[OUTPUT_OVERHEAD + i] = (uint8_t)('a' + i % 26);
	return result;
}

static SpiderTdlResult task_output_zero_len(const struct call *c)
{
	return (SpiderTdlResult){ false, (uint8_t *)1, 0 };
}

static SpiderTdlResult task_error_zero_len(const struct call *c)
{
	return (SpiderTdlResult){ true, (uint8_t *)1, 0 };
}

/* fork_return comes back twice, the second time in a child. */
static SpiderTdlResult task_fork_return(const struct call *c)
{
	return spider_answer_uint((uint64_t)fork());
}

static sigjmp_buf caught;

static void catch_fault(int sig)
{
	(void)sig;
	siglongjmp(caught, 1);
}

/* catch_segv(n) faults n times, catches each with a handler that leaves by
 * siglongjmp, and answers how often it did. The handler is installed once. */
static SpiderTdlResult task_catch_segv(const struct call *c)
{
	static bool installed;
	volatile uint64_t times = 0;

	if (!installed) {
		struct sigaction action = { .sa_handler = catch_fault, .sa_flags = SA_ONSTACK };

		sigaction(SIGSEGV, &action, NULL);
		installed = true;
	}
	while (times < c->args[0].u64) {
		if (sigsetjmp(caught, 1) == 0)
			*(volatile int *)8 = 1;
		times++;
	}
	return spider_answer_uint(times);
}

static SpiderTdlResult task_output_null(const struct call *c)
{
	return (SpiderTdlResult){ false, NULL, 4 };
}

static SpiderTdlResult task_output_endless(const struct call *c)
{
	static uint8_t byte;

	return (SpiderTdlResult){ false, &byte, (size_t)-1 };
}

static SpiderTdlResult task_output_garbage(const struct call *c)
{
	return spider_raw(false, "\x05\xab\x10", 3);
}

static SpiderTdlResult task_echo(const struct call *c)
{
	return spider_raw(false, c->inputs.ptr, c->inputs.len);
}

static SpiderTdlResult task_echo_context(const struct call *c)
{
	struct spider_writer out = spider_results();

	spider_write_bytes(spider_result(&out), c->ctx.ptr, c->ctx.len);
	return spider_done(&out);
}

static SpiderTdlResult pointer_info(SpiderTdlByteArray b)
{
	struct spider_writer out = spider_results();

	spider_write_uint(spider_result(&out), b.ptr != NULL);
	spider_write_uint(spider_result(&out), b.len);
	return spider_done(&out);
}

static SpiderTdlResult task_inputs_ptr_info(const struct call *c)
{
	return pointer_info(c->inputs);
}

static SpiderTdlResult task_ctx_ptr_info(const struct call *c)
{
	return pointer_info(c->ctx);
}

/*
 * Errors.
 */

static SpiderTdlResult task_fail(const struct call *c)
{
	return spider_error(c->args[0].str, "%s", c->args[1].str);
}

static SpiderTdlResult task_fail_garbage(const struct call *c)
{
	return spider_raw(true, "\xc1\xff\x00", 3);
}

static SpiderTdlResult task_fail_unknown_variant(const struct call *c)
{
	return spider_error("Foo", "x");
}

/* A text that claims 20 bytes and has 3. */
static SpiderTdlResult task_fail_truncated(const struct call *c)
{
	static const char bytes[] = "\x81\xae" "ExecutionError" "\xb4" "cut";

	return spider_raw(true, bytes, sizeof(bytes) - 1);
}

static SpiderTdlResult task_fail_not_utf8(const struct call *c)
{
	static const char bytes[] = "\x81\xae" "ExecutionError" "\xa2\xff\xfe";

	return spider_raw(true, bytes, sizeof(bytes) - 1);
}

static SpiderTdlResult task_fail_huge(const struct call *c)
{
	uint64_t n = c->args[0].u64;

	if (n > INT32_MAX / 2)
		return spider_fail("fail_huge: n is at most %d", INT32_MAX / 2);
	return spider_fail("%*s", (int)n, "");
}

/*
 * Limits and the process itself.
 */

/* The memory stays, so that calls add up. */
static SpiderTdlResult task_alloc_mb(const struct call *c)
{
	uint64_t mb = c->args[0].u64;
	volatile char *block; /* a compiler may drop a memset of it */

	if (mb > SIZE_MAX >> 20)
		return spider_fail("alloc_mb: n is too large");
	if (mb == 0)
		return spider_answer_uint(0);
	block = malloc((size_t)mb << 20);
	if (!block)
		return spider_fail_errno("malloc");
	for (size_t i = 0; i < (size_t)mb << 20; i += 4096)
		block[i] = 1;
	return spider_answer_uint(0);
}

/* Answers how many could be opened; they stay open. */
static SpiderTdlResult task_open_files(const struct call *c)
{
	uint64_t opened = 0;

	while (opened < c->args[0].u64 && open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
		opened++;
	return spider_answer_uint(opened);
}

static SpiderTdlResult task_get_rlimit(const struct call *c)
{
	struct rlimit limit;

	if (getrlimit((int)c->args[0].u64, &limit) < 0)
		return spider_fail_errno("getrlimit");
	return spider_answer_uint(limit.rlim_cur);
}

static SpiderTdlResult task_getpid(const struct call *c)
{
	return spider_answer_uint((uint64_t)getpid());
}

static SpiderTdlResult task_getpgid(const struct call *c)
{
	return spider_answer_uint((uint64_t)getpgid(0));
}

/* leave_group puts the process into its parent's group, out of reach of a kill of
 * its own, and never returns. */
static SpiderTdlResult task_leave_group(const struct call *c)
{
	if (setpgid(0, getpgid(getppid())) != 0)
		return spider_answer_uint((uint64_t)errno);
	for (;;)
		pause();
}

static SpiderTdlResult task_getppid(const struct call *c)
{
	return spider_answer_uint((uint64_t)getppid());
}

static SpiderTdlResult task_getenv(const struct call *c)
{
	const char *value = getenv(c->args[0].str);

	return spider_answer_cstr(value ? value : "");
}

/* Nanoseconds, of the calling thread. */
static SpiderTdlResult task_timerslack(const struct call *c)
{
	int slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);

	if (slack < 0)
		return spider_fail_errno("prctl");
	return spider_answer_uint((uint64_t)slack);
}

static SpiderTdlResult task_cwd(const struct call *c)
{
	SpiderTdlResult result;
	char *path = getcwd(NULL, 0);

	if (!path)
		return spider_fail_errno("getcwd");
	result = spider_answer_cstr(path);
	free(path);
	return result;
}

static SpiderTdlResult task_signal_ignored(const struct call *c)
{
	struct sigaction action;

	if (sigaction((int)c->args[0].u64, NULL, &action) < 0)
		return spider_fail_errno("sigaction");
	return spider_answer_bool(action.sa_handler == SIG_IGN);
}

/* This call included. */
static SpiderTdlResult task_count_calls(const struct call *c)
{
	return spider_answer_uint(calls);
}

static SpiderTdlResult task_last_thread_id(const struct call *c)
{
	return spider_answer_uint((uint64_t)syscall(SYS_gettid));
}

#define TASK(f) { .name = #f, .run = task_##f }
#define TASK_WITH(f, ...) { .name = #f, .run = task_##f, .params = { __VA_ARGS__ } }
#define TASK_RAW(f) { .name = #f, .run = task_##f, .raw = true }

static const struct task tasks[] = {
	/* faults */
	TASK(segv),
	TASK(segv_null_call),
	TASK(bus),
	TASK(fpe),
	TASK(ill),
	TASK(abort),
	TASK(trap),
	TASK(sys),
	TASK_WITH(raise, { U64, "signal" }),
	TASK(segv_in_thread),
	TASK(stack_overflow),
	TASK(double_free),
	/* ends */
	TASK_WITH(exit, { U64, "code" }),
	TASK_WITH(_exit, { U64, "code" }),
	TASK(pthread_exit),
	TASK(exit_in_thread), /* code 7 */
	TASK_WITH(kill_self, { U64, "signal" }),
	TASK(atexit_block),
	TASK(endless_loop),
	TASK_WITH(sleep_ms, { U64, "ms" }),
	TASK(block_forever),
	TASK_WITH(sum_file, { STR, "path" }), /* -> u64 */
	/* printing */
	TASK_WITH(print_write, { STR, "text" }),
	TASK_WITH(print_stdio, { STR, "text" }),
	TASK_WITH(print_stdio_full, { STR, "text" }),
	TASK_WITH(print_child, { STR, "text" }),
	TASK_WITH(print_system, { STR, "text" }),
	TASK_WITH(print_fork, { STR, "text" }),
	TASK_WITH(print_proc_self_fd1, { STR, "text" }),
	TASK_WITH(print_stderr, { STR, "text" }),
	TASK_WITH(print_stderr_lines, { U64, "n" }),
	/* descriptors */
	TASK(read_stdin),	/* -> u64, or ExecutionError if it blocks for 1 s */
	TASK_WITH(write_fd, { U64, "fd" }, { STR, "text" }),
	TASK(count_fds),	/* -> u64 */
	TASK(list_private_fds), /* -> list of str */
	TASK(close_stderr),
	TASK(close_files),
	TASK(sigpipe_thread), /* -> u64, an errno */
	/* forks: -> u64, the child's pid */
	TASK_WITH(fork_sleep, { U64, "ms" }),
	TASK_WITH(fork_exec_sleep, { U64, "seconds" }),
	TASK_WITH(fork_setsid_sleep, { U64, "ms" }),
	TASK(fork_hold_endless),
	/* outputs */
	TASK_WITH(output_bytes, { U64, "n" }), /* -> str; n bytes of result in all */
	TASK(output_zero_len),
	TASK(error_zero_len),
	TASK(fork_return),
	TASK_WITH(catch_segv, { U64, "n" }),
	TASK(output_null),
	TASK(output_endless),
	TASK(output_garbage),
	TASK_RAW(echo),
	TASK_RAW(echo_context),	   /* -> list of integers */
	TASK_RAW(inputs_ptr_info), /* -> u64 1 if not NULL, u64 length */
	TASK_RAW(ctx_ptr_info),	   /* the same */
	/* errors */
	TASK_WITH(fail, { STR, "variant" }, { STR, "text" }),
	TASK(fail_garbage),
	TASK(fail_unknown_variant),
	TASK(fail_truncated),
	TASK(fail_not_utf8),
	TASK_WITH(fail_huge, { U64, "n" }),
	/* limits and the process itself */
	TASK_WITH(alloc_mb, { U64, "n" }),	    /* -> u64 0 */
	TASK_WITH(open_files, { U64, "n" }),	    /* -> u64 */
	TASK_WITH(get_rlimit, { U64, "resource" }), /* -> u64, the soft limit */
	TASK(getpid),				    /* -> u64 */
	TASK(leave_group),
	TASK(getpgid),				    /* -> u64 */
	TASK(getppid),				    /* -> u64 */
	TASK_WITH(getenv, { STR, "name" }),	    /* -> str, empty when unset */
	TASK(timerslack),			    /* -> u64 */
	TASK(cwd),				    /* -> str */
	TASK_WITH(signal_ignored, { U64, "sig" }),  /* -> bool */
	TASK(count_calls),			    /* -> u64 */
	TASK(last_thread_id),			    /* -> u64 */
};

static void read_arg(struct spider_reader *in, enum kind kind, struct arg *arg)
{
	SpiderTdlCharArray text;
	char *copy;

	if (kind == U64) {
		arg->u64 = spider_read_uint(in);
		return;
	}
	/* Unlike spider_read_cstr it takes a text with NULs in it. */
	text = spider_read_str(in);
	copy = spider_alloc(in, text.len + 1, 1);
	memcpy(copy, text.ptr, text.len);
	arg->str = copy;
	arg->len = text.len;
}

SpiderTdlVersion __spider_tdl_package_get_version(void)
{
	return spider_version();
}

SpiderTdlCharArray __spider_tdl_package_get_name(void)
{
	static const char name[] = "misbehave";

	return (SpiderTdlCharArray){ name, sizeof(name) - 1 };
}

SpiderTdlResult __spider_tdl_package_execute(SpiderTdlCharArray name, SpiderTdlByteArray ctx,
					     SpiderTdlByteArray inputs)
{
	struct call c = { .ctx = ctx, .inputs = inputs };
	struct spider_reader in;
	SpiderTdlResult result;

	calls++;
	for (size_t i = 0; i < sizeof(tasks) / sizeof(tasks[0]); i++) {
		const struct task *task = &tasks[i];

		if (!spider_task_is(name, task->name))
			continue;
		if (task->raw)
			return task->run(&c);
		spider_open(&in, task->name, inputs);
		for (int j = 0; j < MAX_PARAMS && task->params[j].kind != NO_PARAM; j++)
			read_arg(spider_param(&in, task->params[j].name), task->params[j].kind, &c.args[j]);
		result = spider_end(&in) ? task->run(&c) : spider_refusal(&in);
		spider_close(&in);
		return result;
	}
	return spider_task_not_found(name);
}
