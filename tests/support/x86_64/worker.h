/* The guest of the stress test on x86. */
#ifndef SUPPORT_X86_64_WORKER_H
#define SUPPORT_X86_64_WORKER_H

/*
 * WORKER(name, control, end): at control are words: a number that says when to begin, one that says
 * what is done, the number of steps, a tag, the address of the first step's word. Awaits a new
 * number in the first word; then for each step stores number << 32 | tag | step to the step's word,
 * on one page of the arena after the other, and loads the last word of that page, which goes to
 * control + 0x1000 and on. Puts the number into the second word, does what end says, and begins
 * again.
 */
#define WORKER(name, control, end)                                                                 \
    GUEST_CODE(name, "mov $" #control ", %r8\n"                                                    \
                     "xor %ebx, %ebx\n"                                                            \
                     "1: cmp %rbx, (%r8)\n"                                                        \
                     "je 1b\n"                                                                     \
                     "mov (%r8), %rbx\n"                                                           \
                     "mov %rbx, %rdx\n"                                                            \
                     "shl $32, %rdx\n"                                                             \
                     "or 24(%r8), %rdx\n"                                                          \
                     "mov 32(%r8), %rdi\n"                                                         \
                     "lea 0x1000(%r8), %rsi\n"                                                     \
                     "xor %ecx, %ecx\n"                                                            \
                     "2: lea (%rdx, %rcx), %rax\n"                                                 \
                     "mov %rax, (%rdi)\n"                                                          \
                     "mov %rdi, %r10\n"                                                            \
                     "and $-4096, %r10\n"                                                          \
                     "mov 8 * 511(%r10), %rax\n"                                                   \
                     "mov %rax, (%rsi)\n"                                                          \
                     "add $8, %rsi\n"                                                              \
                     "add $4096 + 8, %rdi\n"                                                       \
                     "inc %ecx\n"                                                                  \
                     "test $7, %cl\n"                                                              \
                     "jnz 2b\n"                                                                    \
                     "sub $8 * 4096, %rdi\n"                                                       \
                     "cmp 16(%r8), %rcx\n"                                                         \
                     "jne 2b\n"                                                                    \
                     "mov %rbx, 8(%r8)\n" end "jmp 1b\n")

/* In end: until the word at this address has the number, too. */
#define WORKER_WAIT(address) "3: cmp %rbx, " #address "\njne 3b\n"

#endif
