/* Certificates and keys for servers and clients: TLS 1.2 and 1.3 by OpenSSL, ALPN (h2, http/1.1),
 * client certificates, reload without dropping a connection.
 * Threads: create and reload from one thread at a time; use by any loop. */
#ifndef TN_RPC_TLS_H
#define TN_RPC_TLS_H

#include "base/fault.h"

struct tn_tls;

struct tn_tls_options {
    bool server;
    const char *cert_file;   /* PEM chain; required for servers */
    const char *key_file;    /* PEM */
    const char *ca_file;     /* servers: demand client certificates of these (mTLS); clients: trust
                                these instead of the system's */
    const char *server_name; /* clients: name to verify; NULL: from the target */
    bool insecure;           /* clients: do not verify; for tests, logged loudly */
};

TN_MUST enum tn_err tn_tls_create(const struct tn_tls_options *options, struct tn_tls **ret_tls,
                                  struct tn_fault *fault);

/* Reads the same files again. On failure the old ones stay in use. */
TN_MUST enum tn_err tn_tls_reload(struct tn_tls *tls, struct tn_fault *fault);
void tn_tls_destroy(struct tn_tls *tls);

#endif
