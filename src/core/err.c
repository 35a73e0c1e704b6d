/* Names of the result codes, for logs and error texts. */
#include "core/err.h"

const char *tn_err_name(enum tn_err err)
{
    switch (err) {
    case TN_OK:
        return "ok";
    case TN_AGAIN:
        return "again";
    case TN_DONE:
        return "done";
    case TN_NOMEM:
        return "nomem";
    case TN_INVALID:
        return "invalid";
    case TN_LIMIT:
        return "limit";
    case TN_NOTFOUND:
        return "notfound";
    case TN_EXISTS:
        return "exists";
    case TN_DENIED:
        return "denied";
    case TN_UNAUTHENTICATED:
        return "unauthenticated";
    case TN_UNSUPPORTED:
        return "unsupported";
    case TN_UNAVAILABLE:
        return "unavailable";
    case TN_TIMEOUT:
        return "timeout";
    case TN_CANCELLED:
        return "cancelled";
    case TN_CONFLICT:
        return "conflict";
    case TN_CORRUPT:
        return "corrupt";
    case TN_TRUNCATED:
        return "truncated";
    case TN_IO:
        return "io";
    case TN_CLOSED:
        return "closed";
    case TN_INTERNAL:
        return "internal";
    }
    return "unknown";
}
