/* The least a VMM can do: a VM, a page of code, one exit, one line of output. */
#include "bench/bare.h"

int main(void)
{
    struct bare bare = bare_open(one_exit, sizeof(one_exit), 0x10000);

    bare_run(&bare);
    bare_check((int)write(STDOUT_FILENO, "exit\n", 5), "output");
    return 0;
}
