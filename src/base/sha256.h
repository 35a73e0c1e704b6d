/* SHA-256 of bytes, by OpenSSL (about 1.5 GB/s with the CPU's own instructions).
 * Memory: OpenSSL's, per running hash. Threads: any, one at a time per struct. */
#ifndef TN_BASE_SHA256_H
#define TN_BASE_SHA256_H

#include "core/bytes.h"
#include "core/err.h"

enum { TN_SHA256_SIZE = 32, TN_SHA256_HEX_SIZE = 64 };

/* Of all the bytes at once. TN_NOMEM. */
TN_MUST enum tn_err tn_sha256(struct tn_bytes bytes, uint8_t ret_hash[TN_SHA256_SIZE]);

/* Of bytes that come in parts. */
struct tn_sha256 {
    void *context;
};
TN_MUST enum tn_err tn_sha256_init(struct tn_sha256 *sha); /* TN_NOMEM */
void tn_sha256_deinit(struct tn_sha256 *sha);              /* NULL or zeroed is accepted */
void tn_sha256_add(struct tn_sha256 *sha, struct tn_bytes bytes);
void tn_sha256_finish(struct tn_sha256 *sha, uint8_t hash[TN_SHA256_SIZE]); /* begins anew */

/* Lower-case hexadecimal, terminated. */
void tn_sha256_print(const uint8_t hash[TN_SHA256_SIZE], char out[TN_SHA256_HEX_SIZE + 1]);

/* From 64 hexadecimal digits of either case. TN_INVALID. */
TN_MUST enum tn_err tn_sha256_parse(struct tn_str text, uint8_t ret_hash[TN_SHA256_SIZE]);

#endif
