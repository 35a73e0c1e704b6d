/* UTF-8 as RFC 3629 has it: shortest forms only, no surrogates, nothing above U+10FFFF.
 *
 * Text that comes from outside is checked once where it enters and believed afterwards.
 * Freestanding, no memory, any thread. */
#ifndef TN_CORE_UTF8_H
#define TN_CORE_UTF8_H

#include "core/bytes.h"

enum { TN_UTF8_SIZE_MAX = 4, TN_UTF8_CODE_MAX = 0x10FFFF };

/* Whether the whole text is valid. ASCII costs about one cycle for eight bytes. */
bool tn_utf8_valid(struct tn_str text);

/* Bytes of the code point at `at`, 0 when the `room` bytes there do not start with one. */
size_t tn_utf8_sequence_size(const uint8_t *at, size_t room);

/* Writes the code point (at most TN_UTF8_CODE_MAX, no surrogate: asserted) and returns its size. */
size_t tn_utf8_put(uint8_t out[TN_UTF8_SIZE_MAX], uint32_t code);

#endif
