/* "did you mean": the nearest of some names to a mistyped one. Pure, no memory. */
#ifndef TN_BASE_SUGGEST_H
#define TN_BASE_SUGGEST_H

#include "core/bytes.h"

enum { TN_SUGGEST_WORD_MAX = 64 };

struct tn_suggest {
    struct tn_str word;
    const char *best; /* nearest offered so far, NULL: none is near enough */
    size_t distance;
};

void tn_suggest_init(struct tn_suggest *suggest, struct tn_str word);

/* Offers one of the right names; it must live as long as `best` is used. */
void tn_suggest_offer(struct tn_suggest *suggest, const char *name);

/* Insertions, deletions, substitutions and swaps of neighbours that turn one into the other;
 * SIZE_MAX when either is longer than TN_SUGGEST_WORD_MAX. '-' and '_' count as equal. */
size_t tn_suggest_distance(struct tn_str a, struct tn_str b);

#endif
