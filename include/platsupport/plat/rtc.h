/* What a real-time clock tells. */
#pragma once

#include <stdint.h>

/**
 * A date and a time of day.
 */
typedef struct rtc_time_date {
    uint8_t second;
    uint8_t minute;
    uint8_t hour;
    uint8_t day;   /* from 1 */
    uint8_t month; /* from 1 */
    unsigned int year;
} rtc_time_date_t;
