/* Why an image could not be loaded: one line for the user, filled in by whoever first knows. */
#ifndef LOAD_REASON_H
#define LOAD_REASON_H

struct load_error {
    char text[256];
};

/* Writes the line and returns code, a negative errno. err may be NULL. */
int load_fail(struct load_error *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same behind "cannot load kernel 'name': ". Of a long name the end is shown. */
int kernel_fail(struct load_error *err, int code, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The part of a file name that still leaves room for a reason. */
const char *short_name(const char *name);

#endif
