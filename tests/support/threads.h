/* The threads of this process that are of its program. */
#ifndef SUPPORT_THREADS_H
#define SUPPORT_THREADS_H

unsigned count_threads(void);

/* Fails the test unless there are so many, soon. */
void assert_threads(unsigned nr);

#endif
