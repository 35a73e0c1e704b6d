/* The one result type of the whole tree.
 *
 * Zero and above is progress, below zero is failure. A function that fails writes none of its
 * `ret_` outputs. Wrong input is one of these codes; a wrong program is TN_ASSERT.
 * Freestanding: firmware uses this header as it is. */
#ifndef TN_CORE_ERR_H
#define TN_CORE_ERR_H

enum tn_err {
    TN_OK = 0,
    TN_AGAIN = 1, /* not finished: call again with more input, or at the time given */
    TN_DONE = 2,  /* finished: there is no next item */

    TN_NOMEM = -1,           /* an allocation failed */
    TN_INVALID = -2,         /* the input breaks its grammar or its contract */
    TN_LIMIT = -3,           /* a stated bound was reached */
    TN_NOTFOUND = -4,        /* no such name, key, version */
    TN_EXISTS = -5,          /* the name is taken */
    TN_DENIED = -6,          /* known caller, not allowed */
    TN_UNAUTHENTICATED = -7, /* unknown caller */
    TN_UNSUPPORTED = -8,     /* understood, not offered here */
    TN_UNAVAILABLE = -9,     /* not now; trying again later may work */
    TN_TIMEOUT = -10,        /* the deadline passed */
    TN_CANCELLED = -11,      /* the caller gave up */
    TN_CONFLICT = -12,       /* the state is not what the request assumed */
    TN_CORRUPT = -13,        /* stored or received bytes fail their check */
    TN_TRUNCATED = -14,      /* the input ends before it is complete */
    TN_IO = -15,             /* the operating system refused; the fault text has its reason */
    TN_CLOSED = -16,         /* the other end, or this object, is closed */
    TN_INTERNAL = -17,       /* a dependency failed in a way that has no better name */
};

/* Failing to look at the result is a compile error. */
#define TN_MUST __attribute__((warn_unused_result))

/* Name of the code as written above without its prefix, lower case ("notfound"). Static
 * string; "unknown" for a value that is no code. */
const char *tn_err_name(enum tn_err err);

#endif
