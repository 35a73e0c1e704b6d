/* Label values: copied into one block, cut, made valid UTF-8, compared.
 *
 * Names of models come from clients and folders; an encoder must be able to trust them.
 * Memory: one heap block. Threads: any. Bounds: TN_METRIC_VALUE_MAX bytes a value. */
#include "base/mem.h"
#include "core/utf8.h"
#include "telemetry/registry.h"

static const struct tn_str other = TN_STR("_other");

/* Copies a label value, cut and made valid. Returns its size. */
static size_t value_copy(char *to, struct tn_str value)
{
    size_t size = 0;
    while (size < value.size) {
        size_t step = tn_utf8_sequence_size((const uint8_t *)value.data + size, value.size - size);
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
