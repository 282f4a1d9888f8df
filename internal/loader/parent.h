/* A thread that ends the process when its parent ends. */
#ifndef SPIDER_LOADER_PARENT_H
#define SPIDER_LOADER_PARENT_H

/* 0 or an errno. A parent that cannot be seen (another PID namespace) is no
 * error: there is then nothing to watch. */
int spider_watch_parent(void);

#endif
