/* What a guest finds: a line per check, the first failed one's number as its exit value. */
#include "lib/report.h"

#include "lib/machine.h"
#include "lib/print.h"

static unsigned nr_checks;
static unsigned first_failed;    /* 0: none */

static void print_check(const char *verdict, const char *name)
{
    print(verdict);
    print_decimal(nr_checks);
    print(" ");
    print(name);
}

void check(const char *name, uint64_t got, uint64_t expected)
{
    nr_checks++;
    if (got == expected) {
        print_check("ok ", name);
        print("\n");
        return;
    }
    if (first_failed == 0) {
        first_failed = nr_checks;
    }
    print_check("FAIL ", name);
    print(": got ");
    print_hex(got);
    print(" expected ");
    print_hex(expected);
    print("\n");
}

void report_end(void)
{
    print("end: ");
    print_decimal(nr_checks);
    print(" checks\n");
    machine_exit(first_failed);
}
