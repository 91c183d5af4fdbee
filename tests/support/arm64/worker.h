/* The guest of the stress test on Arm. */
#ifndef SUPPORT_ARM64_WORKER_H
#define SUPPORT_ARM64_WORKER_H

/*
 * WORKER(name, control, end): at control are words: a number that says when to begin, one that says
 * what is done, the number of steps, a tag, the address of the first step's word. Awaits a new
 * number in the first word; then for each step stores number << 32 | tag | step to the step's word,
 * on one page of the arena after the other, and loads the last word of that page, which goes to
 * control + 0x1000 and on. Puts the number into the second word, does what end says, and begins
 * again.
 */
#define WORKER(name, control, end)                                                                 \
    GUEST_CODE(name, "ldr x8, =" #control "\n"                                                     \
                     "mov x1, #0\n"                                                                \
                     "1: ldar x0, [x8]\n"                                                          \
                     "cmp x0, x1\n"                                                                \
                     "b.eq 1b\n"                                                                   \
                     "mov x1, x0\n"                                                                \
                     "lsl x3, x1, #32\n"                                                           \
                     "ldr x4, [x8, #24]\n"                                                         \
                     "orr x3, x3, x4\n"                                                            \
                     "ldr x5, [x8, #32]\n"                                                         \
                     "ldr x9, [x8, #16]\n"                                                         \
                     "add x6, x8, #0x1000\n"                                                       \
                     "mov x2, #0\n"                                                                \
                     "2: orr x0, x3, x2\n"                                                         \
                     "str x0, [x5]\n"                                                              \
                     "and x7, x5, #-4096\n"                                                        \
                     "ldr x0, [x7, #8 * 511]\n"                                                    \
                     "str x0, [x6], #8\n"                                                          \
                     "add x5, x5, #4096\n"                                                         \
                     "add x5, x5, #8\n"                                                            \
                     "add x2, x2, #1\n"                                                            \
                     "tst x2, #7\n"                                                                \
                     "b.ne 2b\n"                                                                   \
                     "sub x5, x5, #8 * 4096\n"                                                     \
                     "cmp x2, x9\n"                                                                \
                     "b.ne 2b\n"                                                                   \
                     "dsb sy\n"                                                                    \
                     "add x7, x8, #8\n"                                                            \
                     "stlr x1, [x7]\n" end "b 1b\n")

/* In end: until the word at this address has the number, too. */
#define WORKER_WAIT(address) "ldr x7, =" #address "\n3: ldar x0, [x7]\ncmp x0, x1\nb.ne 3b\n"

#endif
