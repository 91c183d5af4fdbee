/* Older names of ZF_LOGE and ZF_LOGI. */
#pragma once

#include <utils/zf_log.h>

#define LOG_ERROR(...) ZF_LOGE(__VA_ARGS__)
#define LOG_INFO(...) ZF_LOGI(__VA_ARGS__)
