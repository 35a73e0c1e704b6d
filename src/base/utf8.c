/* UTF-8 character lengths; see utf8.h. The table is the one of the Unicode standard (well-formed
 * byte sequences): only the second byte's range depends on the first. Pure. */
#include "base/utf8.h"

#include "core/assert.h"

static const struct {
    uint8_t first_min, first_max, second_min, second_max;
    size_t length;
} forms[] = {
    {0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
    {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
    {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
};

size_t tn_utf8_length(struct tn_str text)
{
    const uint8_t *at = (const uint8_t *)text.data;
    if (text.size == 0) {
        return 0;
    }
    size_t form = 0;
    while (form < TN_COUNT(forms) &&
           (at[0] < forms[form].first_min || at[0] > forms[form].first_max)) {
        form++;
    }
    if (form == TN_COUNT(forms) || forms[form].length > text.size) {
        return 0;
    }
    size_t length = forms[form].length;
    if (length > 1 && (at[1] < forms[form].second_min || at[1] > forms[form].second_max)) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((at[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return length;
}
