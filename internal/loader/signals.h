/* Signal dispositions of a process that hosts native code and Go runtimes. */
#ifndef SPIDER_LOADER_SIGNALS_H
#define SPIDER_LOADER_SIGNALS_H

#include <stdbool.h>

/* Called once, before the first dlopen, on the task thread. 0 or an errno. */
int spider_install_signals(bool faults, bool preemption);

/* Called after each dlopen: takes over the handlers a library has just
 * installed, and puts ours back in front of them. */
void spider_adopt_handlers(void);

#endif
