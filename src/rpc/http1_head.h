/* The grammar of one complete HTTP/1 head (RFC 9112, 2 to 6): start line, fields, and what they say
 * about the body and the connection. Private to http1.c. Pure. */
#ifndef TN_RPC_HTTP1_HEAD_H
#define TN_RPC_HTTP1_HEAD_H

#include "rpc/http1.h"

/* Why a head was refused. */
struct tn_http1_refusal {
    unsigned status;
    const char *problem;
};

/* `text` is the whole head with its empty line; every line ends with CRLF (checked by the caller).
 * TN_INVALID, TN_LIMIT, TN_UNSUPPORTED with *ret_refusal; *ret_head is then unspecified. */
TN_MUST enum tn_err tn_http1_head_parse(const struct tn_http1 *parser, char *text, size_t size,
                                        struct tn_http1_head *ret_head,
                                        struct tn_http1_refusal *ret_refusal);

/* The same for a trailer section: fields only, none that frames or routes a message. */
TN_MUST enum tn_err tn_http1_trailers_parse(const struct tn_http1 *parser, char *text, size_t size,
                                            size_t *ret_count,
                                            struct tn_http1_refusal *ret_refusal);

#endif
