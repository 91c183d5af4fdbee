/* The entries of the interrupt table: all of them make one kind of frame and go to one function. */

    .text

/* SDM 3A, 6.15: the exceptions that push an error code are 8, 10 to 14, 17, 21, 29, 30. */
    .set with_error_code, 1 << 8 | 0x1f << 10 | 1 << 17 | 1 << 21 | 1 << 29 | 1 << 30

    .globl vectors
    .balign 16
vectors:
    .set vector, 0
    .rept 48
    .balign 16
    .if vector >= 32 || !(with_error_code >> vector & 1)
    push $0
    .endif
    push $vector
    jmp save_and_handle
    .set vector, vector + 1
    .endr

save_and_handle:
    push %rax
    push %rcx
    push %rdx
    push %rsi
    push %rdi
    push %r8
    push %r9
    push %r10
    push %r11
    cld
    lea 9 * 8(%rsp), %rdi
    call handle_vector
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rdi
    pop %rsi
    pop %rdx
    pop %rcx
    pop %rax
    add $16, %rsp
    iretq

    .section .note.GNU-stack, "", @progbits
