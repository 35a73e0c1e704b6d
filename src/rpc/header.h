/* A header field of HTTP/1.1, HTTP/2 or gRPC, and the rules that keep one from becoming two.
 *
 * Views only: whoever hands a header out says how long its memory lives. Pure. */
#ifndef TN_RPC_HEADER_H
#define TN_RPC_HEADER_H

#include "core/bytes.h"

struct tn_header {
    struct tn_str name; /* lower case */
    struct tn_str value;
};

/* A token (RFC 9110, 5.6.2) of 1 byte or more, in either case. */
bool tn_header_name_is_valid(struct tn_str name);

/* No control bytes but TAB, so no CR, LF or NUL; empty is fine. Bytes from 0x80 on pass. */
bool tn_header_value_is_valid(struct tn_str value);

/* Lower-cases the name in place. False when it is no token; then its bytes are unspecified. */
bool tn_header_name_lower(char *name, size_t size);

/* Same text but for the case of ASCII letters. */
bool tn_header_text_equal(struct tn_str a, struct tn_str b);

/* Whether the comma-separated list holds the token, in any case ("keep-alive, TE"). */
bool tn_header_list_has(struct tn_str list, struct tn_str token);

/* Value of the first header of that (lower-case) name; the empty view when there is none. */
struct tn_str tn_header_find(const struct tn_header *headers, size_t count, struct tn_str name);

#endif
