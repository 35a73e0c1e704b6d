/* Where a client connects: "host:port", "[::1]:port", "unix:/path". Pure. */
#ifndef TN_RPC_CLIENT_TARGET_H
#define TN_RPC_CLIENT_TARGET_H

#include "base/fault.h"

enum { TN_TARGET_HOST_MAX = 255, TN_TARGET_AUTHORITY_MAX = TN_TARGET_HOST_MAX + 9 };

struct tn_client_target {
    bool is_unix;
    bool is_literal;                             /* an IP address: no name look-up */
    uint16_t port;                               /* not for unix */
    char host[TN_TARGET_HOST_MAX + 1];           /* without brackets; unix: the path */
    char authority[TN_TARGET_AUTHORITY_MAX + 1]; /* for Host and :authority */
};

/* TN_INVALID with a fault that shows the form to use. */
TN_MUST enum tn_err tn_client_target_parse(const char *text, struct tn_client_target *ret_target,
                                           struct tn_fault *fault);

#endif
