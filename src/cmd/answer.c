/* Says what a model answered; see answer.h for the forms. */
#include "cmd/answer.h"

#include "core/assert.h"
#include "core/half.h"

#include <math.h>
#include <stdlib.h>

enum { ANSWER_SHOWN_MAX = 12, ANSWER_TOP_MAX = 20 };

struct options {
    size_t top;
    size_t blank;
    bool space_last;
    double threshold;
    double seconds;
    char over[64];
    char under[64];
};

/* Element i as a number, NAN for BYTES. */
static double element(const struct tn_tensor *tensor, uint64_t i)
{
    const uint8_t *at = tensor->data.data + i * tn_dtype_size(tensor->dtype);
    switch (tensor->dtype) {
    case TN_DTYPE_BOOL:
    case TN_DTYPE_UINT8:
        return at[0];
    case TN_DTYPE_INT8:
        return (int8_t)at[0];
    case TN_DTYPE_UINT16:
        return (uint16_t)(at[0] | at[1] << 8);
    case TN_DTYPE_INT16:
        return (int16_t)(at[0] | at[1] << 8);
    case TN_DTYPE_FP16:
        return (double)tn_half_to_float((uint16_t)(at[0] | at[1] << 8));
    case TN_DTYPE_BF16:
        return (double)tn_bfloat_to_float((uint16_t)(at[0] | at[1] << 8));
    case TN_DTYPE_UINT32:
        return tn_load_le32(at);
    case TN_DTYPE_INT32:
        return (int32_t)tn_load_le32(at);
    case TN_DTYPE_UINT64:
        return (double)tn_load_le64(at);
    case TN_DTYPE_INT64:
        return (double)(int64_t)tn_load_le64(at);
    case TN_DTYPE_FP32: {
        float value;
        memcpy(&value, at, sizeof(value));
        return (double)value;
    }
    case TN_DTYPE_FP64: {
        double value;
        memcpy(&value, at, sizeof(value));
        return value;
    }
    default:
        return NAN;
    }
}

static uint64_t elements_of(const struct tn_tensor *tensor)
{
    uint64_t count = 0;
    return tn_shape_elements(&tensor->shape, &count) == TN_OK ? count : 0;
}

static struct tn_str label_at(struct tn_str labels, size_t index)
{
    size_t from = 0;
    for (size_t i = 0; from < labels.size; i++) {
        const char *end = memchr(labels.data + from, '\n', labels.size - from);
        size_t size = end != NULL ? (size_t)(end - labels.data) - from : labels.size - from;
        if (i == index) {
            return tn_str_make(labels.data + from, size);
        }
        from += size + 1;
    }
    return tn_str_make(NULL, 0);
}

static bool read_option(struct options *options, const char *word)
{
    char *end = NULL;
    if (strncmp(word, "top=", 4) == 0) {
        options->top = strtoul(word + 4, &end, 10);
        return *end == '\0' && options->top > 0 && options->top <= ANSWER_TOP_MAX;
    }
    if (strncmp(word, "blank=", 6) == 0) {
        options->blank = strtoul(word + 6, &end, 10);
        return *end == '\0';
    }
    if (strcmp(word, "space=last") == 0) {
        options->space_last = true;
        return true;
    }
    if (strncmp(word, "threshold=", 10) == 0) {
        options->threshold = strtod(word + 10, &end);
        return *end == '\0';
    }
    if (strncmp(word, "seconds=", 8) == 0) {
        options->seconds = strtod(word + 8, &end);
        return *end == '\0' && options->seconds > 0.0;
    }
    bool over = strncmp(word, "over=", 5) == 0;
    if (!over && strncmp(word, "under=", 6) != 0) {
        return false;
    }
    char *to = over ? options->over : options->under;
    const char *text = word + (over ? 5 : 6);
    for (size_t i = 0; i + 1 < sizeof(options->over) && text[i] != '\0'; i++) {
        to[i] = text[i] == '_' ? ' ' : text[i];
        to[i + 1] = '\0';
    }
    return true;
}

/* The kind of the recipe goes to ret_kind, its options are read. */
static enum tn_err read_recipe(struct tn_str text, char ret_kind[32], struct options *ret_options,
                               struct tn_fault *fault)
{
    char copy[256];
    if (text.size >= sizeof(copy)) {
        return tn_fault_set(fault, TN_LIMIT, "output recipe: longer than %zu bytes", sizeof(copy));
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    ret_kind[0] = '\0';
    char *rest = NULL;
    for (char *word = strtok_r(copy, " \t", &rest); word != NULL;
         word = strtok_r(NULL, " \t", &rest)) {
        if (ret_kind[0] == '\0' && strlen(word) < 32) {
            memcpy(ret_kind, word, strlen(word) + 1);
        } else if (!read_option(ret_options, word)) {
            return tn_fault_set(fault, TN_INVALID, "output recipe: '%s' is not known", word);
        }
    }
    return TN_OK;
}

static void print_numbers(const struct tn_tensor *tensor, struct tn_buf *out)
{
    uint64_t count = elements_of(tensor);
    for (uint64_t i = 0; i < count && i < ANSWER_SHOWN_MAX; i++) {
        tn_buf_printf(out, "%s%.6g", i > 0 ? ", " : "", element(tensor, i));
    }
    if (count > ANSWER_SHOWN_MAX) {
        tn_buf_printf(out, ", ... %llu in all", (unsigned long long)count);
    }
}

static void print_texts(const struct tn_tensor *tensor, struct tn_buf *out)
{
    size_t at = 0;
    for (size_t i = 0; at + 4 <= tensor->data.size; i++) {
        size_t size = tn_load_le32(tensor->data.data + at);
        if (size > tensor->data.size - at - 4) {
            return;
        }
        if (i == ANSWER_SHOWN_MAX) {
            tn_buf_put_text(out, ", ...");
            return;
        }
        tn_buf_printf(out, "%s\"%.*s\"", i > 0 ? ", " : "", (int)size,
                      (const char *)tensor->data.data + at + 4);
        at += 4 + size;
    }
}

static void print_plain(const struct tn_answer *answer, struct tn_buf *out)
{
    for (size_t i = 0; i < answer->count; i++) {
        const struct tn_tensor *tensor = &answer->tensors[i];
        tn_buf_printf(out, "%.*s  %s[", TN_STR_ARG(answer->name), tn_dtype_name(tensor->dtype));
        for (size_t d = 0; d < tensor->shape.rank; d++) {
            tn_buf_printf(out, "%s%lld", d > 0 ? "," : "", (long long)tensor->shape.dims[d]);
        }
        tn_buf_put_text(out, "]  ");
        if (tensor->dtype == TN_DTYPE_BYTES) {
            print_texts(tensor, out);
        } else {
            print_numbers(tensor, out);
        }
        tn_buf_put_text(out, "\n");
    }
}

/* The row of classes from `from` on, best first. */
static void print_best(const struct tn_answer *answer, const struct tn_tensor *tensor,
                       uint64_t from, uint64_t classes, size_t top, struct tn_buf *out)
{
    double above = INFINITY;
    uint64_t last = UINT64_MAX;
    for (size_t n = 0; n < top && n < classes; n++) {
        uint64_t best = UINT64_MAX;
        for (uint64_t i = 0; i < classes; i++) {
            double value = element(tensor, from + i);
            bool below = value < above || (value == above && i > last);
            if (below && (best == UINT64_MAX || value > element(tensor, from + best))) {
                best = i;
            }
        }
        if (best == UINT64_MAX) {
            return;
        }
        above = element(tensor, from + best);
        last = best;
        struct tn_str label = label_at(answer->labels, (size_t)best);
        if (label.size > 0) {
            tn_buf_printf(out, "%s%.*s (%.4g)", n > 0 ? ", " : "", TN_STR_ARG(label), above);
        } else {
            tn_buf_printf(out, "%sclass %llu (%.4g)", n > 0 ? ", " : "", (unsigned long long)best,
                          above);
        }
    }
}

static void print_classes(const struct tn_answer *answer, const struct options *options,
                          struct tn_buf *out)
{
    for (size_t t = 0; t < answer->count; t++) {
        const struct tn_tensor *tensor = &answer->tensors[t];
        uint64_t count = elements_of(tensor);
        size_t rank = tensor->shape.rank;
        uint64_t classes = rank > 0 ? (uint64_t)tensor->shape.dims[rank - 1] : count;
        for (uint64_t from = 0; classes > 0 && from + classes <= count; from += classes) {
            tn_buf_printf(out, "%.*s: ", TN_STR_ARG(answer->name));
            print_best(answer, tensor, from, classes, options->top, out);
            tn_buf_put_text(out, "\n");
        }
    }
}

static uint64_t best_class(const struct tn_tensor *tensor, uint64_t from, uint64_t classes)
{
    uint64_t best = 0;
    for (uint64_t i = 1; i < classes; i++) {
        best = element(tensor, from + i) > element(tensor, from + best) ? i : best;
    }
    return best;
}

/* Best path: the best class of each step, repeats folded, blanks dropped. */
static void print_ctc_row(const struct tn_answer *answer, const struct options *options,
                          const struct tn_tensor *tensor, uint64_t from, struct tn_buf *out)
{
    uint64_t steps = (uint64_t)tensor->shape.dims[1];
    uint64_t classes = (uint64_t)tensor->shape.dims[2];
    uint64_t last = options->blank;
    double sum = 0.0;
    size_t letters = 0;
    tn_buf_printf(out, "%.*s: \"", TN_STR_ARG(answer->name));
    for (uint64_t step = 0; step < steps; step++, from += classes) {
        uint64_t best = best_class(tensor, from, classes);
        if (best != options->blank && best != last) {
            struct tn_str label = label_at(answer->labels, best - (best > options->blank));
            bool space = options->space_last && best == classes - 1;
            tn_buf_put_str(out, space ? TN_STR_OF(" ") : label);
            sum += element(tensor, from + best);
            letters++;
        }
        last = best;
    }
    tn_buf_printf(out, "\" (mean confidence %.3f)\n", letters > 0 ? sum / (double)letters : 0.0);
}

static enum tn_err print_ctc(const struct tn_answer *answer, const struct options *options,
                             struct tn_buf *out, struct tn_fault *fault)
{
    for (size_t t = 0; t < answer->count; t++) {
        const struct tn_tensor *tensor = &answer->tensors[t];
        if (tensor->shape.rank != 3 || tensor->shape.dims[2] == 0) {
            return tn_fault_set(fault, TN_INVALID,
                                "output '%.*s': ctc needs [batch, steps, classes]",
                                TN_STR_ARG(answer->name));
        }
        uint64_t row = (uint64_t)tensor->shape.dims[1] * (uint64_t)tensor->shape.dims[2];
        for (uint64_t b = 0; b < (uint64_t)tensor->shape.dims[0]; b++) {
            print_ctc_row(answer, options, tensor, b * row, out);
        }
    }
    return TN_OK;
}

/* The scores as a row of bars, at most 64 wide: each the highest of the requests it stands for. */
static void print_bars(const struct tn_answer *answer, struct tn_buf *out)
{
    static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
    size_t width = answer->count < 64 ? answer->count : 64;
    for (size_t i = 0; i < width; i++) {
        double high = 0.0;
        for (size_t k = i * answer->count / width; k < (i + 1) * answer->count / width; k++) {
            high = fmax(high, element(&answer->tensors[k], 0));
        }
        size_t level = high <= 0.0 ? 0 : high >= 1.0 ? 8 : (size_t)(high * 8.0 + 0.5);
        tn_buf_put_text(out, bars[level]);
    }
}

/* Stretches of requests above the threshold, in seconds. */
static void print_stretches(const struct tn_answer *answer, const struct options *options,
                            struct tn_buf *out)
{
    const char *before = ", from ";
    for (size_t i = 0; i < answer->count; i++) {
        bool over = element(&answer->tensors[i], 0) >= options->threshold;
        bool was = i > 0 && element(&answer->tensors[i - 1], 0) >= options->threshold;
        bool next =
            i + 1 < answer->count && element(&answer->tensors[i + 1], 0) >= options->threshold;
        if (over && !was) {
            tn_buf_printf(out, "%s%.2f s", before, (double)i * options->seconds);
            before = ", ";
        }
        if (over && !next) {
            tn_buf_printf(out, " to %.2f s", (double)(i + 1) * options->seconds);
        }
    }
}

static enum tn_err print_score(const struct tn_answer *answer, const struct options *options,
                               struct tn_buf *out, struct tn_fault *fault)
{
    double peak = -INFINITY;
    size_t peak_at = 0;
    for (size_t i = 0; i < answer->count; i++) {
        if (elements_of(&answer->tensors[i]) != 1) {
            return tn_fault_set(fault, TN_INVALID, "output '%.*s': score needs one number",
                                TN_STR_ARG(answer->name));
        }
        double value = element(&answer->tensors[i], 0);
        if (value > peak) {
            peak = value;
            peak_at = i;
        }
    }
    bool over = peak >= options->threshold;
    tn_buf_printf(out, "%.*s: %s (peak %.4f", TN_STR_ARG(answer->name),
                  over ? options->over : options->under, peak);
    if (options->seconds > 0.0 && answer->count > 1) {
        tn_buf_printf(out, " at %.2f s", (double)peak_at * options->seconds);
        print_stretches(answer, options, out);
    }
    tn_buf_put_text(out, ")\n");
    if (answer->count > 1) {
        tn_buf_put_text(out, "  [");
        print_bars(answer, out);
        tn_buf_put_text(out, "]\n");
    }
    return TN_OK;
}

enum tn_err tn_answer_print(const struct tn_answer *answer, struct tn_buf *out,
                            struct tn_fault *fault)
{
    struct options options = {.top = 3, .threshold = 0.5, .over = "yes", .under = "no"};
    char kind[32];
    enum tn_err err = read_recipe(answer->recipe, kind, &options, fault);
    if (err != TN_OK) {
        return err;
    }
    if (kind[0] == '\0') {
        print_plain(answer, out);
    } else if (strcmp(kind, "classes") == 0) {
        print_classes(answer, &options, out);
    } else if (strcmp(kind, "ctc") == 0) {
        err = print_ctc(answer, &options, out, fault);
    } else if (strcmp(kind, "score") == 0) {
        err = print_score(answer, &options, out, fault);
    } else {
        err = tn_fault_set(fault, TN_INVALID, "output '%.*s': recipe '%s' is not known",
                           TN_STR_ARG(answer->name), kind);
    }
    if (err == TN_OK && out->failed != TN_OK) {
        err = tn_fault_set(fault, out->failed, "no memory for the answer");
    }
    return err;
}
