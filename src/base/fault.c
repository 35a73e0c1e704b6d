/* Error texts for people; see fault.h. Text that does not fit is cut at a character boundary and
 * ends in "...". Memory: the caller's struct, a buffer on the stack. Threads: any. */
#include "base/fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

/* Ends `text` with "..." at most TN_FAULT_TEXT_MAX - 1 bytes in, not inside a UTF-8 character. */
static void mark_cut(char *text)
{
    size_t at = TN_FAULT_TEXT_MAX - 4;
    while (at > 0 && ((uint8_t)text[at] & 0xC0) == 0x80) {
        at--;
    }
    memcpy(text + at, "...", 4);
}

/* Terminated text of at most TN_FAULT_TEXT_MAX bytes, cut and marked when longer. Works on a
 * buffer of its own first, since an argument may be the old text of the same fault. */
__attribute__((format(printf, 3, 0))) static void fault_fill(char *text, const char *suffix,
                                                             const char *format, va_list args)
{
    char fresh[TN_FAULT_TEXT_MAX];
    int wanted = vsnprintf(fresh, sizeof(fresh), format, args);
    size_t size = wanted < 0 ? 0 : (size_t)wanted;
    fresh[wanted < 0 ? 0 : sizeof(fresh) - 1] = '\0';
    if (size < sizeof(fresh)) {
        size_t room = sizeof(fresh) - size;
        size_t more = strlen(suffix);
        memcpy(fresh + size, suffix, more < room ? more + 1 : room);
        fresh[sizeof(fresh) - 1] = '\0';
        size += more;
    }
    if (size >= sizeof(fresh)) {
        mark_cut(fresh);
    }
    size = strlen(fresh);
    while (size > 0 && fresh[size - 1] == '\n') {
        size--;
    }
    memcpy(text, fresh, size);
    text[size] = '\0';
}

enum tn_err tn_fault_set(struct tn_fault *fault, enum tn_err code, const char *format, ...)
{
    if (fault != NULL) {
        va_list args;
        va_start(args, format);
        fault_fill(fault->text, "", format, args);
        va_end(args);
        fault->code = code;
    }
    return code;
}

static enum tn_err code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOENT:
        return TN_NOTFOUND;
    case EACCES:
    case EPERM:
        return TN_DENIED;
    case ENOMEM:
        return TN_NOMEM;
    case EEXIST:
        return TN_EXISTS;
    default:
        return TN_IO;
    }
}

enum tn_err tn_fault_errno(struct tn_fault *fault, int errnum, const char *format, ...)
{
    enum tn_err code = code_of_errno(errnum);
    if (fault != NULL) {
        char reason[128];
        char suffix[sizeof(reason) + 2];
        const char *name = strerror_r(errnum, reason, sizeof(reason)); /* GNU: returns the text */
        snprintf(suffix, sizeof(suffix), ": %s", name);
        va_list args;
        va_start(args, format);
        fault_fill(fault->text, suffix, format, args);
        va_end(args);
        fault->code = code;
    }
    return code;
}

void tn_fault_wrap(struct tn_fault *fault, const char *format, ...)
{
    if (fault != NULL) {
        char suffix[TN_FAULT_TEXT_MAX + 2];
        snprintf(suffix, sizeof(suffix), ": %s", fault->text);
        va_list args;
        va_start(args, format);
        fault_fill(fault->text, suffix, format, args);
        va_end(args);
    }
}
