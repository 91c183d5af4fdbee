/* Waiting for a word to change, as the kernel offers it. */
#ifndef BASE_FUTEX_H
#define BASE_FUTEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Sleeps while *word is seen; may return for no reason. Threads of this process only. */
void futex_wait(atomic_uint *word, unsigned seen);

/* Wakes one who sleeps on the word, if anybody does; changes no errno. */
void futex_wake_one(atomic_uint *word);

/* Wakes all who sleep on the word. Allowed in signal handlers; changes no errno. */
void futex_wake_all(atomic_uint *word);

/*
 * There is a word at addr and it is expected. Any address may be asked about: the kernel reads it,
 * so a wrong one is no crash. Allowed in signal handlers; changes no errno.
 */
bool futex_word_is(uintptr_t addr, uint32_t expected);

#endif
