/* Where an exporter sends to, from the URL that an operator writes:
 *
 *     http://host[:80]/path   https://host[:443]/path   grpc://host[:4317]   grpcs://host[:4317]
 *
 * Pure. Memory: the struct. Bounds: TN_TARGET_HOST_MAX, TN_TARGET_PATH_MAX. */
#ifndef TN_EXPORT_TARGET_H
#define TN_EXPORT_TARGET_H

#include "base/fault.h"

enum { TN_TARGET_HOST_MAX = 264, TN_TARGET_PATH_MAX = 512 };

struct tn_target {
    bool grpc;
    bool tls;
    char address[TN_TARGET_HOST_MAX]; /* "host:port", "[::1]:port" */
    char path[TN_TARGET_PATH_MAX];    /* with the query; "/" when the URL has none */
};

/* TN_INVALID with what is wrong: another scheme, no host, a port that is none, a name and password
 * in the URL (they belong into headers), a fragment, a path on a gRPC target, blanks. */
TN_MUST enum tn_err tn_target_parse(struct tn_str url, struct tn_target *ret_target,
                                    struct tn_fault *fault);

#endif
