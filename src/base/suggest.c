/* Nearest name; see suggest.h. Optimal string alignment (Damerau-Levenshtein without repeated
 * edits) over three rows on the stack: at most 64 * 64 steps a name. A third of the letters may be
 * wrong, or the word may be the start of one name. Pure. */
#include "base/suggest.h"

static bool same(char a, char b)
{
    return a == b || ((a == '-' || a == '_') && (b == '-' || b == '_'));
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

size_t tn_suggest_distance(struct tn_str a, struct tn_str b)
{
    if (a.size > TN_SUGGEST_WORD_MAX || b.size > TN_SUGGEST_WORD_MAX) {
        return SIZE_MAX;
    }
    size_t rows[3][TN_SUGGEST_WORD_MAX + 1];
    for (size_t k = 0; k <= b.size; k++) {
        rows[0][k] = k;
    }
    for (size_t i = 1; i <= a.size; i++) {
        size_t *now = rows[i % 3];
        const size_t *last = rows[(i + 2) % 3];
        const size_t *older = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t k = 1; k <= b.size; k++) {
            size_t cost = same(a.data[i - 1], b.data[k - 1]) ? 0 : 1;
            now[k] = min3(last[k] + 1, now[k - 1] + 1, last[k - 1] + cost);
            if (i > 1 && k > 1 && same(a.data[i - 1], b.data[k - 2]) &&
                same(a.data[i - 2], b.data[k - 1]) && older[k - 2] + 1 < now[k]) {
                now[k] = older[k - 2] + 1;
            }
        }
    }
    return rows[a.size % 3][b.size];
}

void tn_suggest_init(struct tn_suggest *suggest, struct tn_str word)
{
    *suggest = (struct tn_suggest){.word = word, .distance = SIZE_MAX};
}

void tn_suggest_offer(struct tn_suggest *suggest, const char *name)
{
    struct tn_str offered = tn_str_from(name);
    size_t distance = tn_suggest_distance(suggest->word, offered);
    if (distance == SIZE_MAX) {
        return;
    }
    size_t longer = suggest->word.size > offered.size ? suggest->word.size : offered.size;
    bool near = distance <= (longer < 4 ? 1 : longer / 3);
    if (!near && suggest->word.size >= 3 && tn_str_starts(offered, suggest->word)) {
        near = true;
        distance = longer / 3; /* ranks behind every real misspelling */
    }
    if (near && distance < suggest->distance) {
        suggest->distance = distance;
        suggest->best = name;
    }
}
