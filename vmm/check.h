/* hostvm check. */
#ifndef CHECK_H
#define CHECK_H

/* Says whether this machine can run VMs, and what would help if not. Returns the exit status. */
int check_host(void);

#endif
