/*
 * The first program of a Linux guest that has nothing else: says which kernel brought it up, then
 * powers off.
 *
 * With "hostvm_exit" on the kernel's command line (words that the kernel does not know become the
 * program's arguments) it ends the VM through port 0xf4 at once instead: the end of a measurement.
 * No C library: a few hundred bytes.
 */
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
enum {
    SYS_WRITE = 1,
    SYS_UNAME = 63,
    SYS_REBOOT = 169,
    SYS_IOPERM = 173
}; /* arch/x86/entry/syscalls/syscall_64.tbl */

static long call(long number, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}

static void end_measurement(void)
{
    if (call(SYS_IOPERM, 0xf4, 1, 1, 0) == 0) {
        __asm__ volatile("outb %0, %1" : : "a"((uint8_t)0), "Nd"((uint16_t)0xf4));
    }
}

__asm__(".globl _start\n_start:\n  mov %rsp, %rdi\n  and $-16, %rsp\n  call start\n");
#elif defined(__aarch64__)
enum { SYS_WRITE = 64, SYS_UNAME = 160, SYS_REBOOT = 142 }; /* include/uapi/asm-generic/unistd.h */

static long call(long number, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;

    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}

static void end_measurement(void)
{
}

__asm__(".globl _start\n_start:\n  mov x0, sp\n  bl start\n");
#endif

/* include/uapi/linux/utsname.h */
struct utsname {
    char sysname[65], nodename[65], release[65], version[65], machine[65], domainname[65];
};

static size_t length(const char *text)
{
    size_t n = 0;

    while (text[n] != '\0') {
        n++;
    }
    return n;
}

static void say(const char *text)
{
    (void)call(SYS_WRITE, 1, (long)text, (long)length(text), 0);
}

static int is_exit_word(const char *text)
{
    static const char word[] = "hostvm_exit";

    for (size_t i = 0; i < sizeof(word) - 1; i++) {
        if (text[i] != word[i]) {
            return 0;
        }
    }
    return 1;
}

/* The stack a program starts with: argc, arguments, NULL, environment, NULL. */
static int is_measured(const long *stack)
{
    const char *const *words = (const char *const *)(stack + 1);

    for (int nr_lists = 0; nr_lists < 2; words++) {
        if (*words == NULL) {
            nr_lists++;
        } else if (is_exit_word(*words)) {
            return 1;
        }
    }
    return 0;
}

void start(const long *stack);

void start(const long *stack)
{
    struct utsname name;

    if (is_measured(stack)) {
        end_measurement();
    }
    (void)call(SYS_UNAME, (long)&name, 0, 0, 0);
    say("\n*** This is the init of a Linux guest under hostvm: ");
    say(name.sysname);
    say(" ");
    say(name.release);
    say(" ");
    say(name.machine);
    say(" ***\n");
    /* reboot(2): its two magic numbers, then LINUX_REBOOT_CMD_POWER_OFF */
    (void)call(SYS_REBOOT, (long)0xfee1dead, 672274793, 0x4321fedc, 0);
    for (;;) {
    }
}
