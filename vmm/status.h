/* Exit statuses of the command (the values: sysexits.h). */
#ifndef STATUS_H
#define STATUS_H

enum status {
    STATUS_OK = 0, /* the guest powered off or reset */
    STATUS_USAGE = 64,
    STATUS_BAD_FILE = 66, /* a guest file is missing or not what it should be */
    STATUS_NO_KVM = 69,
    STATUS_CRASHED = 70, /* the guest cannot go on */
    STATUS_HOST = 71,    /* memory, descriptors: the host refused */
    STATUS_SIGNAL = 128, /* plus the signal's number */
};

#endif
