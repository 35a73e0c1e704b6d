/* An error a person can act on: a code and one sentence that says what went wrong, where, and what
 * to do. Functions that can fail for reasons of the outside world take a `struct tn_fault *` last
 * (may be NULL) and fill it when they fail. */
#ifndef TN_BASE_FAULT_H
#define TN_BASE_FAULT_H

#include "core/bytes.h"
#include "core/err.h"

enum { TN_FAULT_TEXT_MAX = 480 };

struct tn_fault {
    enum tn_err code;             /* TN_OK: nothing happened */
    char text[TN_FAULT_TEXT_MAX]; /* terminated, no newline at the end */
};

/* Fills `fault` (when not NULL) and returns `code`, so that a failure is one line:
 *     return tn_fault_set(fault, TN_NOTFOUND, "model '%s' has no version %u", name, version); */
enum tn_err tn_fault_set(struct tn_fault *fault, enum tn_err code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a system call: adds ": " and the text of `errnum`. Code TN_IO, or TN_NOTFOUND for
 * ENOENT, TN_DENIED for EACCES and EPERM, TN_NOMEM for ENOMEM, TN_EXISTS for EEXIST. */
enum tn_err tn_fault_errno(struct tn_fault *fault, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the text; the code stays. */
void tn_fault_wrap(struct tn_fault *fault, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
