/* Snappy's block format, the compressing half: what remote write demands of a body.
 *
 * Pure. A block of 64 KB at a time, matches found by a hash of four bytes, greedy: what the
 * original does, so the result is about as small and takes 1..3 ns a byte. Any Snappy reads it.
 * Memory: the caller's output and a table of 16 KB on the stack. Threads: any.
 * Bounds: 2^32 - 1 bytes of input, by the format. */
#ifndef TN_TELEMETRY_SNAPPY_H
#define TN_TELEMETRY_SNAPPY_H

#include "base/buf.h"

/* Appends the compressed form. The buffer says whether it failed (TN_LIMIT: input too large). */
void tn_snappy_compress(struct tn_bytes input, struct tn_buf *buf);

/* The most that compressing `size` bytes can give. */
size_t tn_snappy_size_max(size_t size);

#endif
