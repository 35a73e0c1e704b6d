/* TLS of one connection without a socket: cipher bytes in, plain bytes out, and back. For servers
 * and clients; which of them, and the certificates, come from struct tn_tls.
 *
 *   HANDSHAKE --> READY --> CLOSED      any --> FAILED
 *
 * Memory: OpenSSL's state (about 20 KiB with idle buffers released) and one block of cipher bytes
 * on their way out. Threads: one. Bounds: records of 16 KiB. */
#ifndef TN_RPC_TLS_CONN_H
#define TN_RPC_TLS_CONN_H

#include "rpc/out.h"
#include "rpc/tls.h"

struct tn_tls_conn;

/* Which protocols ALPN offers (client) or may choose from (server). */
enum { TN_TLS_HTTP1 = 1, TN_TLS_HTTP2 = 2 };

struct tn_tls_conn_options {
    unsigned protocols; /* 0: both */
    const char *name;   /* clients: the server's name, for SNI and verification, unless
                           tn_tls_options.server_name says otherwise */
};

TN_MUST enum tn_err tn_tls_conn_create(struct tn_tls *tls,
                                       const struct tn_tls_conn_options *options,
                                       struct tn_tls_conn **ret_conn);
void tn_tls_conn_destroy(struct tn_tls_conn *conn); /* NULL accepted */

/* Cipher bytes from the peer, to be used up by tn_tls_conn_read until it says TN_AGAIN; the view
 * lives that long. A client feeds the empty view to begin. */
void tn_tls_conn_feed(struct tn_tls_conn *conn, struct tn_bytes bytes);

/* Plain bytes, also the handshake's steps. TN_OK: *ret_size bytes; TN_AGAIN: feed more (and send
 * what tn_tls_conn_encrypt gives); TN_DONE: the peer closed properly. TN_DENIED: a certificate was
 * refused; TN_INVALID: not TLS, or an alert; TN_NOMEM. */
TN_MUST enum tn_err tn_tls_conn_read(struct tn_tls_conn *conn, uint8_t *data, size_t room,
                                     size_t *ret_size);

/* Replaces the plain bytes in `out` by cipher bytes, behind handshake messages that wait. Plain
 * bytes before the handshake is over are an error of the program. */
TN_MUST enum tn_err tn_tls_conn_encrypt(struct tn_tls_conn *conn, struct tn_out *out);

bool tn_tls_conn_is_ready(const struct tn_tls_conn *conn);
bool tn_tls_conn_is_http2(const struct tn_tls_conn *conn); /* by ALPN */

/* Subject of the verified peer certificate, empty without one; NULL accepted. */
struct tn_str tn_tls_conn_subject(const struct tn_tls_conn *conn);

/* Why it failed, for a fault's text; lives as long as the connection. */
const char *tn_tls_conn_problem(const struct tn_tls_conn *conn);

#endif
