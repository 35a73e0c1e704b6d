/* Where one UTF-8 character ends: strict (no overlong forms, no surrogates, nothing beyond
 * U+10FFFF), for whoever escapes text of unknown origin. */
#ifndef TN_BASE_UTF8_H
#define TN_BASE_UTF8_H

#include "core/utf8.h" /* the whole text at once */

/* Length of the valid character at the start of `text`, 1 to 4; 0 when there is none. */
size_t tn_utf8_length(struct tn_str text);

#endif
