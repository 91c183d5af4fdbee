/* Messages for the developer on standard error: ZF_LOGE(format, ...) and its siblings. */
#pragma once

#include <stdlib.h>
#include <utils/gen_config.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Levels, in rising weight. */
#define ZF_LOG_VERBOSE 1
#define ZF_LOG_DEBUG 2
#define ZF_LOG_INFO 3
#define ZF_LOG_WARN 4
#define ZF_LOG_ERROR 5
#define ZF_LOG_FATAL 0xFFFF

/**
 * The lowest level that is printed: what lies below costs nothing. Define it before the first
 * include to choose for one source file.
 */
#ifndef ZF_LOG_LEVEL
#define ZF_LOG_LEVEL CONFIG_LIB_UTILS_DEFAULT_ZF_LOG_LEVEL
#endif

/**
 * Writes one line to standard error: the level's letter, file and line, message. A newline at the
 * message's end is not doubled; what is longer than a KiB is cut. Leaves errno alone; from any
 * thread.
 *
 * @param level  ZF_LOG_VERBOSE .. ZF_LOG_FATAL
 * @param file   of which the last component is shown
 */
void hostvm_zf_log(int level, const char *file, unsigned line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#define ZF_LOG_WRITE(level, ...)                                                                  \
    do {                                                                                          \
        if ((level) >= ZF_LOG_LEVEL) {                                                            \
            hostvm_zf_log(level, __FILE__, __LINE__, __VA_ARGS__);                                \
        }                                                                                         \
    } while (0)

/* Each takes printf's arguments. */
#define ZF_LOGV(...) ZF_LOG_WRITE(ZF_LOG_VERBOSE, __VA_ARGS__)
#define ZF_LOGD(...) ZF_LOG_WRITE(ZF_LOG_DEBUG, __VA_ARGS__)
#define ZF_LOGI(...) ZF_LOG_WRITE(ZF_LOG_INFO, __VA_ARGS__)
#define ZF_LOGW(...) ZF_LOG_WRITE(ZF_LOG_WARN, __VA_ARGS__)
#define ZF_LOGE(...) ZF_LOG_WRITE(ZF_LOG_ERROR, __VA_ARGS__)

/**
 * Says why the program cannot go on, whatever ZF_LOG_LEVEL is, and aborts it. For client code:
 * the library itself never does this.
 */
#define ZF_LOGF(...)                                                                              \
    do {                                                                                          \
        hostvm_zf_log(ZF_LOG_FATAL, __FILE__, __LINE__, __VA_ARGS__);                             \
        abort();                                                                                  \
    } while (0)

#ifdef __cplusplus
}
#endif
