/* Messages under a condition: ZF_LOGE_IF(condition, format, ...) and its siblings. */
#pragma once

#include <utils/zf_log.h>

/*
 * Each is a bare `if` with braces, so an `else` may follow it. ZF_LOGF_IF ends the program when
 * its condition holds.
 */
#define ZF_LOGV_IF(condition, ...)                                                                \
    if (condition) {                                                                              \
        ZF_LOGV(__VA_ARGS__);                                                                     \
    }
#define ZF_LOGD_IF(condition, ...)                                                                \
    if (condition) {                                                                              \
        ZF_LOGD(__VA_ARGS__);                                                                     \
    }
#define ZF_LOGI_IF(condition, ...)                                                                \
    if (condition) {                                                                              \
        ZF_LOGI(__VA_ARGS__);                                                                     \
    }
#define ZF_LOGW_IF(condition, ...)                                                                \
    if (condition) {                                                                              \
        ZF_LOGW(__VA_ARGS__);                                                                     \
    }
#define ZF_LOGE_IF(condition, ...)                                                                \
    if (condition) {                                                                              \
        ZF_LOGE(__VA_ARGS__);                                                                     \
    }
#define ZF_LOGF_IF(condition, ...)                                                                \
    if (condition) {                                                                              \
        ZF_LOGF(__VA_ARGS__);                                                                     \
    }
