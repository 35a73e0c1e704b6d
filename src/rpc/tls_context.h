/* What tls_conn.c needs of struct tn_tls. Threads: any. */
#ifndef TN_RPC_TLS_CONTEXT_H
#define TN_RPC_TLS_CONTEXT_H

#include "rpc/tls.h"

#include <openssl/ssl.h>

#include <stdbool.h>

/* A connection with the certificates of now; NULL without memory. */
SSL *tn_tls_new_ssl(struct tn_tls *tls);

BIO_METHOD *tn_tls_bio(const struct tn_tls *tls);
bool tn_tls_is_server(const struct tn_tls *tls);
const char *tn_tls_server_name(const struct tn_tls *tls); /* NULL: from the target */

/* In tls_conn.c: the BIO over a connection's buffers. NULL without memory. */
BIO_METHOD *tn_tls_bio_method(void);

#endif
