/* The least a VMM can do: a VM, a page of code, one port exit, one line of output. */
#include "bench/bare.h"

int main(void)
{
    static const uint8_t code[] = {0xe6, 0x10}; /* out %al, $0x10 */
    struct bare bare = bare_open(code, sizeof(code), 0x10000);

    bare_run(&bare);
    bare_check((int)write(STDOUT_FILENO, "exit\n", 5), "output");
    return 0;
}
