/*
 * What a failed call leaves behind: the reason of the calling thread's last failure, and the log.
 */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/*
 * How much a message matters. A configuration names the lowest level it wants to hear;
 * HOSTVM_LOG_DEFAULT there (the value of a zeroed structure) means HOSTVM_LOG_WARN. Messages
 * themselves always carry one of the four levels that follow it.
 */
enum hostvm_log_level {
    HOSTVM_LOG_DEFAULT = 0,
    HOSTVM_LOG_DEBUG,
    HOSTVM_LOG_INFO,
    HOSTVM_LOG_WARN,
    HOSTVM_LOG_ERROR
};

/*
 * Receives one message: a single line without the newline, valid only during the call. `cookie` is
 * the one configured beside the function. May be called from any thread that uses the library, also
 * by several at once, and with the library's locks held: it must not call the library.
 */
typedef void (*hostvm_log_fn)(void *cookie, enum hostvm_log_level level, const char *message);

/*
 * The reason of the last failure on the calling thread: what was asked, what is wrong with it, and
 * what would help, in one line. "" when nothing has failed on this thread yet. A successful call
 * leaves the reason of an earlier failure in place, so ask only after a call that failed. The text
 * belongs to the library and changes with the thread's next failure. May be called at any time from
 * any thread.
 */
const char *hostvm_last_error(void);

#ifdef __cplusplus
}
#endif
