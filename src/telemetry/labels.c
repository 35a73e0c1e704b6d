/* Label values: copied into one block, cut, made valid UTF-8, compared.
 *
 * Names of models come from clients and folders; an encoder must be able to trust them.
 * Memory: one heap block. Threads: any. Bounds: TN_METRIC_VALUE_MAX bytes a value. */
#include "base/mem.h"
#include "telemetry/registry.h"

static const struct tn_str other = TN_STR("_other");

/* Bytes of the well-formed UTF-8 character at the start (RFC 3629, table 3-7 of Unicode), or 0. */
static size_t utf8_step(const uint8_t *at, size_t size)
{
    uint8_t lead = at[0];
    if (lead < 0x80) {
        return 1;
    }
    size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || size < length) {
        return 0;
    }
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (at[1] < low || at[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return length;
}

/* Copies a label value, cut and made valid. Returns its size. */
static size_t value_copy(char *to, struct tn_str value)
{
    size_t size = 0;
    while (size < value.size) {
        size_t step = utf8_step((const uint8_t *)value.data + size, value.size - size);
        if (size + (step == 0 ? 1 : step) > TN_METRIC_VALUE_MAX) {
            break;
        }
        if (step == 0) {
            to[size++] = '?';
        } else {
            memcpy(to + size, value.data + size, step);
            size += step;
        }
    }
    return size;
}

struct tn_str *tn_labels_copy(const struct tn_str *values, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t wanted = values == NULL ? other.size : values[i].size;
        size += wanted < TN_METRIC_VALUE_MAX ? wanted : TN_METRIC_VALUE_MAX;
    }
    struct tn_str *copies = tn_mem_take(count * sizeof(*copies) + size);
    if (copies == NULL) {
        return NULL;
    }
    char *text = (char *)(copies + count);
    for (size_t i = 0; i < count; i++) {
        size_t length = value_copy(text, values == NULL ? other : values[i]);
        copies[i] = tn_str_make(text, length);
        text += length;
    }
    return copies;
}

static int value_compare(struct tn_str a, struct tn_str b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    int order = shorter > 0 ? memcmp(a.data, b.data, shorter) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

int tn_labels_compare(const struct tn_str *a, const struct tn_str *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int order = value_compare(a[i], b[i]);
        if (order != 0) {
            return order;
        }
    }
    return 0;
}

bool tn_labels_are_other(const struct tn_str *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!tn_str_equal(values[i], other)) {
            return false;
        }
    }
    return count > 0;
}
