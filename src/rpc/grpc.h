/* Words of the gRPC wire protocol: status, timeout, message text, content type, encoding.
 * Pure functions over views, used by server and client. Threads: any. */
#ifndef TN_RPC_GRPC_H
#define TN_RPC_GRPC_H

#include "rpc/call.h"

/* "OK", "INVALID_ARGUMENT", ...; "UNKNOWN" for a number that is no code. */
struct tn_str tn_grpc_status_name(enum tn_grpc_status status);

/* The number as sent in grpc-status. */
struct tn_str tn_grpc_status_text(enum tn_grpc_status status);

/* From a grpc-status header; UNKNOWN when it is no code. */
enum tn_grpc_status tn_grpc_status_parse(struct tn_str text);

/* What a client reports for an HTTP status without grpc-status. */
enum tn_grpc_status tn_grpc_status_of_http(unsigned http_status);

/* The error that says the same as a status, for callers that speak enum tn_err. */
enum tn_err tn_err_of_grpc(enum tn_grpc_status status);

/* grpc-timeout: one to eight digits and a unit (H M S m u n). TN_INVALID. A time that does not fit
 * gives UINT64_MAX. */
TN_MUST enum tn_err tn_grpc_timeout_parse(struct tn_str text, uint64_t *ret_timeout_ns);

enum { TN_GRPC_TIMEOUT_ROOM = 12 };

/* Writes the finest unit that holds the time in eight digits, rounded up so that the server's
 * deadline is not earlier than ours; returns the length. */
size_t tn_grpc_timeout_format(uint64_t timeout_ns, char text[TN_GRPC_TIMEOUT_ROOM]);

/* grpc-message: percent-encodes all but printable ASCII, and '%'. `out` holds 3 * text.size. */
size_t tn_grpc_message_encode(struct tn_str text, char *out);

/* The reverse; a '%' that starts no valid escape stays as it is. `out` holds text.size. */
size_t tn_grpc_message_decode(struct tn_str text, char *out);

/* "application/grpc", alone or followed by '+' or ';'. */
bool tn_grpc_is_content_type(struct tn_str content_type);

enum tn_grpc_encoding {
    TN_GRPC_IDENTITY,
    TN_GRPC_GZIP,
    TN_GRPC_DEFLATE,
    TN_GRPC_ENCODING_UNKNOWN,
};

/* From grpc-encoding; an empty view is identity. */
enum tn_grpc_encoding tn_grpc_encoding_parse(struct tn_str text);

/* What we send in grpc-accept-encoding. */
extern const struct tn_str tn_grpc_encodings_accepted;

#endif
