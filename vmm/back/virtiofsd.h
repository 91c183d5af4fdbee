/* The process that serves a folder of the host to a guest: virtiofsd, the C one of QEMU or the
 * later one in Rust. */
#ifndef BACK_VIRTIOFSD_H
#define BACK_VIRTIOFSD_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct virtiofsd {
    pid_t pid;  /* 0: none */
    int socket; /* vhost-user; -1: none */
};

/* Looks for it in two lists of directories, as PATH is one; path may be NULL. 0, or -ENOENT. */
int virtiofsd_find(const char *path, const char *others, char program[PATH_MAX], char *why,
                   size_t why_size);

/*
 * Starts it for a directory. It sees nothing else of the host's files, can write to none if
 * is_readonly, ends when this thread does, and its complaints are on standard error. Root's runs
 * with what virtiofsd itself keeps of root's rights; another user's in a user namespace, where the
 * guest's files are that user's, whoever owns them in the guest.
 *
 * Returns 0, or -errno with why not.
 */
int virtiofsd_start(struct virtiofsd *server, const char *dir, bool is_readonly, char *why,
                    size_t why_size);

/* Ends it, if it has not ended, and closes the socket: nothing of it uses guest memory afterwards.
 * how receives in what way it had ended by itself ("exit status 1"), or "": it had not. */
void virtiofsd_end(struct virtiofsd *server, char *how, size_t how_size);

#endif
