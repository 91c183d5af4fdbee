/* Messages about seL4 result codes: ZF_LOGE_IFERR(err, format, ...) and its siblings. */
#pragma once

#include <sel4/errors.h>
#include <utils/zf_log.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * The name of a result code; "unknown error" for other numbers.
 */
static inline const char *sel4_strerror(int error)
{
    static const char *const names[seL4_NumErrors] = {
        "seL4_NoError",          "seL4_InvalidArgument", "seL4_InvalidCapability",
        "seL4_IllegalOperation", "seL4_RangeError",      "seL4_AlignmentError",
        "seL4_FailedLookup",     "seL4_TruncatedMessage", "seL4_DeleteFirst",
        "seL4_RevokeFirst",      "seL4_NotEnoughMemory",
    };

    return error >= 0 && error < seL4_NumErrors ? names[error] : "unknown error";
}

/*
 * When err is not seL4_NoError, prints its name, then the message. ZF_LOGF_IFERR then ends the
 * program.
 */
#define SEL4_ZF_LOG_IFERR(level, log, err, ...)                                                   \
    do {                                                                                          \
        const int sel4_zf_log_err = (int)(err);                                                   \
        if (sel4_zf_log_err != seL4_NoError) {                                                    \
            ZF_LOG_WRITE(level, "error %d, %s:", sel4_zf_log_err,                                 \
                         sel4_strerror(sel4_zf_log_err));                                         \
            log(__VA_ARGS__);                                                                     \
        }                                                                                         \
    } while (0)

#define ZF_LOGV_IFERR(err, ...) SEL4_ZF_LOG_IFERR(ZF_LOG_VERBOSE, ZF_LOGV, err, __VA_ARGS__)
#define ZF_LOGD_IFERR(err, ...) SEL4_ZF_LOG_IFERR(ZF_LOG_DEBUG, ZF_LOGD, err, __VA_ARGS__)
#define ZF_LOGI_IFERR(err, ...) SEL4_ZF_LOG_IFERR(ZF_LOG_INFO, ZF_LOGI, err, __VA_ARGS__)
#define ZF_LOGW_IFERR(err, ...) SEL4_ZF_LOG_IFERR(ZF_LOG_WARN, ZF_LOGW, err, __VA_ARGS__)
#define ZF_LOGE_IFERR(err, ...) SEL4_ZF_LOG_IFERR(ZF_LOG_ERROR, ZF_LOGE, err, __VA_ARGS__)
#define ZF_LOGF_IFERR(err, ...) SEL4_ZF_LOG_IFERR(ZF_LOG_FATAL, ZF_LOGF, err, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
