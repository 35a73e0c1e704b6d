/* Makes tensors of what a person typed; see input.h for the table of forms.
 *
 * A form yields elements and, where it knows better than the model, a shape; `fit_shape` then fills
 * the model's free dimensions. Sound with a window yields one tensor a window. */
#include "cmd/input.h"

#include "base/file.h"
#include "base/random.h"
#include "cmd/audio.h"
#include "cmd/npy.h"
#include "cmd/recipe.h"
#include "core/assert.h"
#include "core/half.h"
#include "serve/json_tensor.h"

#include <stdlib.h>

enum { INPUT_WINDOWS_MAX = 100000 };
static const size_t input_file_max = (size_t)1 << 30;

static bool ends_with(struct tn_str text, const char *end)
{
    size_t size = strlen(end);
    return text.size >= size && strncasecmp(text.data + text.size - size, end, size) == 0;
}

static enum tn_err no_memory(const struct tn_input_spec *spec, struct tn_fault *fault)
{
    return tn_fault_set(fault, TN_NOMEM, "input '%.*s': no memory", TN_STR_ARG(spec->name));
}

/* Free dimensions of the model by how many elements there are: the last free one takes what is
 * left, others are 1. */
static enum tn_err fit_shape(const struct tn_input_spec *spec, uint64_t elements,
                             struct tn_shape *ret_shape, struct tn_fault *fault)
{
    if (spec->wanted.rank > 0) {
        *ret_shape = spec->wanted;
        return TN_OK;
    }
    struct tn_shape shape = spec->shape;
    uint64_t fixed = 1;
    size_t last_free = TN_RANK_MAX;
    for (size_t i = 0; i < shape.rank; i++) {
        if (shape.dims[i] >= 0) {
            fixed *= (uint64_t)shape.dims[i];
        } else {
            last_free = i;
        }
    }
    if (fixed == 0 || elements % fixed != 0 || (last_free == TN_RANK_MAX && elements != fixed)) {
        return tn_fault_set(fault, TN_INVALID,
                            "input '%.*s': %llu elements do not fill its shape; say which with "
                            "--shape %.*s=...",
                            TN_STR_ARG(spec->name), (unsigned long long)elements,
                            TN_STR_ARG(spec->name));
    }
    for (size_t i = 0; i < shape.rank; i++) {
        if (shape.dims[i] < 0) {
            shape.dims[i] = i == last_free ? (int64_t)(elements / fixed) : 1;
        }
    }
    *ret_shape = shape;
    return TN_OK;
}

static enum tn_err one_tensor(const struct tn_input_spec *spec, const struct tn_tensor *tensor,
                              struct tn_arena *arena, struct tn_input *ret_input,
                              struct tn_fault *fault)
{
    struct tn_tensor *copy = TN_ARENA_NEW(arena, struct tn_tensor);
    if (copy == NULL) {
        return no_memory(spec, fault);
    }
    *copy = *tensor;
    copy->name = spec->name;
    enum tn_err err = tn_tensor_check(copy, fault);
    if (err != TN_OK) {
        tn_fault_wrap(fault, "input '%.*s'", TN_STR_ARG(spec->name));
        return err;
    }
    *ret_input = (struct tn_input){.name = spec->name, .tensors = copy, .count = 1};
    return TN_OK;
}

/* Floats as the model's own type. */
static enum tn_err convert(const struct tn_input_spec *spec, const float *values, size_t count,
                           struct tn_arena *arena, struct tn_bytes *ret_data,
                           struct tn_fault *fault)
{
    size_t size = tn_dtype_size(spec->dtype);
    uint8_t *data = size > 0 ? tn_arena_take(arena, count * size, 64) : NULL;
    if (data == NULL) {
        return size > 0 ? no_memory(spec, fault)
                        : tn_fault_set(fault, TN_INVALID, "input '%.*s' takes %s, not numbers",
                                       TN_STR_ARG(spec->name), tn_dtype_name(spec->dtype));
    }
    for (size_t i = 0; i < count; i++) {
        uint8_t *at = data + i * size;
        switch (spec->dtype) {
        case TN_DTYPE_FP32:
            memcpy(at, &values[i], sizeof(float));
            break;
        case TN_DTYPE_FP64:
            memcpy(at, &(double){(double)values[i]}, sizeof(double));
            break;
        case TN_DTYPE_FP16:
            memcpy(at, &(uint16_t){tn_half_from_float(values[i])}, sizeof(uint16_t));
            break;
        case TN_DTYPE_BF16:
            memcpy(at, &(uint16_t){tn_bfloat_from_float(values[i])}, sizeof(uint16_t));
            break;
        default: { /* integers: little-endian, so the low bytes come first */
            int64_t whole = (int64_t)values[i];
            memcpy(at, &whole, size);
            break;
        }
        }
    }
    *ret_data = tn_bytes_make(data, count * size);
    return TN_OK;
}

static enum tn_err read_image(const struct tn_input_spec *spec, const struct tn_recipe *recipe,
                              struct tn_bytes file, struct tn_arena *arena,
                              struct tn_input *ret_input, struct tn_fault *fault)
{
    struct tn_image image;
    enum tn_err err = tn_image_read(file, arena, &image, fault);
    if (err != TN_OK) {
        return err;
    }
    struct tn_image_recipe how = recipe->image;
    const int64_t *dims = spec->shape.dims;
    if (recipe->kind == TN_RECIPE_NONE && spec->shape.rank == 4) {
        how.nhwc = dims[3] == 3 || dims[3] == 1;
        how.gray = (how.nhwc ? dims[3] : dims[1]) == 1;
        int64_t height = how.nhwc ? dims[1] : dims[2];
        int64_t width = how.nhwc ? dims[2] : dims[3];
        how.height = height > 0 ? (size_t)height : 0;
        how.width = width > 0 ? (size_t)width : 0;
    }
    float *values = NULL;
    size_t width = 0;
    size_t height = 0;
    err = tn_image_tensor(&image, &how, arena, &values, &width, &height);
    if (err != TN_OK) {
        return no_memory(spec, fault);
    }
    int64_t channels = how.gray ? 1 : 3;
    struct tn_tensor tensor = {.dtype = spec->dtype};
    tensor.shape = how.nhwc ? (struct tn_shape){{1, (int64_t)height, (int64_t)width, channels}, 4}
                            : (struct tn_shape){{1, channels, (int64_t)height, (int64_t)width}, 4};
    err = convert(spec, values, (size_t)channels * height * width, arena, &tensor.data, fault);
    return err == TN_OK ? one_tensor(spec, &tensor, arena, ret_input, fault) : err;
}

/* The window a model wants: of its recipe, or its last dimension when that is fixed. */
static size_t window_of(const struct tn_input_spec *spec, const struct tn_recipe *recipe,
                        size_t count)
{
    if (recipe->audio.window > 0) {
        return recipe->audio.window;
    }
    int64_t last = spec->shape.rank > 0 ? spec->shape.dims[spec->shape.rank - 1] : -1;
    return last > 1 ? (size_t)last : count;
}

static enum tn_err cut_windows(const struct tn_input_spec *spec, const struct tn_recipe *recipe,
                               const struct tn_audio *audio, struct tn_arena *arena,
                               struct tn_input *ret_input, struct tn_fault *fault)
{
    size_t window = window_of(spec, recipe, audio->count);
    size_t step = recipe->audio.step > 0 ? recipe->audio.step : window;
    size_t count = audio->count <= window ? 1 : 1 + (audio->count - window + step - 1) / step;
    float *padded = TN_ARENA_ARRAY(arena, float, window);
    struct tn_tensor *tensors = TN_ARENA_ARRAY(arena, struct tn_tensor, count);
    if (count > INPUT_WINDOWS_MAX || padded == NULL || tensors == NULL) {
        return tn_fault_set(fault, TN_LIMIT, "input '%.*s': %zu windows of sound are too many",
                            TN_STR_ARG(spec->name), count);
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < window; k++) {
            size_t at = i * step + k;
            padded[k] = at < audio->count ? audio->samples[at] * recipe->audio.scale : 0.0f;
        }
        tensors[i] = (struct tn_tensor){.name = spec->name, .dtype = spec->dtype};
        enum tn_err err = convert(spec, padded, window, arena, &tensors[i].data, fault);
        if (err == TN_OK) {
            err = fit_shape(spec, window, &tensors[i].shape, fault);
        }
        if (err != TN_OK) {
            return err;
        }
    }
    *ret_input = (struct tn_input){.name = spec->name, .tensors = tensors, .count = count};
    return TN_OK;
}

static enum tn_err read_audio(const struct tn_input_spec *spec, const struct tn_recipe *recipe,
                              struct tn_bytes file, struct tn_arena *arena,
                              struct tn_input *ret_input, struct tn_fault *fault)
{
    struct tn_audio audio;
    enum tn_err err = tn_audio_read(file, arena, &audio, fault);
    if (err != TN_OK) {
        return err;
    }
    if (recipe->audio.rate_hz > 0 && recipe->audio.rate_hz != audio.rate_hz) {
        struct tn_audio other;
        err = tn_audio_resample(&audio, recipe->audio.rate_hz, arena, &other);
        if (err != TN_OK) {
            return no_memory(spec, fault);
        }
        audio = other;
    }
    return cut_windows(spec, recipe, &audio, arena, ret_input, fault);
}

/* Elements of BYTES with their lengths, one a line of text. */
static enum tn_err read_lines(const struct tn_input_spec *spec, struct tn_str text,
                              struct tn_arena *arena, struct tn_input *ret_input,
                              struct tn_fault *fault)
{
    if (spec->dtype != TN_DTYPE_BYTES) {
        return tn_fault_set(fault, TN_INVALID, "input '%.*s' takes %s, not text",
                            TN_STR_ARG(spec->name), tn_dtype_name(spec->dtype));
    }
    uint64_t lines = 1;
    for (size_t i = 0; i + 1 < text.size; i++) {
        lines += text.data[i] == '\n';
    }
    uint8_t *data = tn_arena_take(arena, text.size + 4 * (size_t)lines, 64);
    if (data == NULL) {
        return no_memory(spec, fault);
    }
    size_t size = 0;
    for (size_t from = 0, line = 0; line < lines; line++) {
        const char *end =
            from < text.size ? memchr(text.data + from, '\n', text.size - from) : NULL;
        size_t length = end != NULL ? (size_t)(end - text.data) - from : text.size - from;
        tn_store_le32(data + size, (uint32_t)length);
        if (length > 0) {
            memcpy(data + size + 4, text.data + from, length);
        }
        size += 4 + length;
        from += length + 1;
    }
    struct tn_tensor tensor = {.dtype = TN_DTYPE_BYTES, .data = tn_bytes_make(data, size)};
    enum tn_err err = fit_shape(spec, lines, &tensor.shape, fault);
    return err == TN_OK ? one_tensor(spec, &tensor, arena, ret_input, fault) : err;
}

static enum tn_err read_raw(const struct tn_input_spec *spec, struct tn_bytes file,
                            struct tn_arena *arena, struct tn_input *ret_input,
                            struct tn_fault *fault)
{
    size_t size = tn_dtype_size(spec->dtype);
    if (size == 0 || file.size % size != 0) {
        return tn_fault_set(fault, TN_INVALID,
                            "input '%.*s': a raw file of %zu bytes is no row of %s elements",
                            TN_STR_ARG(spec->name), file.size, tn_dtype_name(spec->dtype));
    }
    struct tn_tensor tensor = {.dtype = spec->dtype, .data = file};
    enum tn_err err = fit_shape(spec, file.size / size, &tensor.shape, fault);
    return err == TN_OK ? one_tensor(spec, &tensor, arena, ret_input, fault) : err;
}

/* The shape of a nested JSON array by the commas and brackets of its first branch; the reader then
 * refuses what is not rectangular. Strings are skipped, so brackets inside them do not count. */
static struct tn_shape json_shape(struct tn_str json)
{
    struct tn_shape shape = {0};
    size_t depth = 0;
    bool text = false;
    bool first[TN_RANK_MAX] = {false};
    for (size_t i = 0; i < json.size; i++) {
        char c = json.data[i];
        if (text) {
            i += c == '\\';
            text = c != '"';
            continue;
        }
        text = c == '"';
        bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
        if (c == ']') {
            if (depth > 0 && depth <= TN_RANK_MAX) {
                first[depth - 1] = true; /* complete: its length is known */
            }
            depth -= depth > 0;
            continue;
        }
        if (depth > 0 && depth <= TN_RANK_MAX && !first[depth - 1] && !blank) {
            shape.dims[depth - 1] += c == ',' || shape.dims[depth - 1] == 0;
        }
        if (c == '[') {
            depth++;
            shape.rank = depth > shape.rank && depth <= TN_RANK_MAX ? depth : shape.rank;
        }
    }
    return shape;
}

static enum tn_err read_json(const struct tn_input_spec *spec, struct tn_str json,
                             struct tn_arena *arena, struct tn_input *ret_input,
                             struct tn_fault *fault)
{
    if (json.size == 0 || json.data[0] != '[') { /* one element */
        char *wrapped = tn_arena_take(arena, json.size + 2, 1);
        if (wrapped == NULL) {
            return no_memory(spec, fault);
        }
        wrapped[0] = '[';
        if (json.size > 0) {
            memcpy(wrapped + 1, json.data, json.size);
        }
        wrapped[json.size + 1] = ']';
        json = tn_str_make(wrapped, json.size + 2);
    }
    struct tn_tensor tensor = {.name = spec->name, .dtype = spec->dtype, .shape = json_shape(json)};
    uint64_t elements = 0;
    if (tn_shape_elements(&tensor.shape, &elements) != TN_OK) {
        return tn_fault_set(fault, TN_INVALID, "input '%.*s': too many elements",
                            TN_STR_ARG(spec->name));
    }
    struct tn_json reader;
    tn_json_init(&reader, json);
    enum tn_err err = tn_json_next(&reader);
    err = err != TN_OK ? tn_fault_set(fault, err, "%s", reader.fault)
                       : tn_json_tensor_read(&reader, &tensor, arena, fault);
    if (err == TN_OK && tn_json_next(&reader) != TN_DONE) {
        err = tn_fault_set(fault, TN_INVALID, "something follows the JSON array");
    }
    if (err != TN_OK) {
        tn_fault_wrap(fault, "input '%.*s'", TN_STR_ARG(spec->name));
        return err;
    }
    if (spec->wanted.rank > 0 || !tn_shape_fits(&spec->shape, &tensor.shape)) {
        err = fit_shape(spec, elements, &tensor.shape, fault);
    }
    return err == TN_OK ? one_tensor(spec, &tensor, arena, ret_input, fault) : err;
}

static enum tn_err generate(const struct tn_input_spec *spec, struct tn_str how,
                            struct tn_arena *arena, struct tn_input *ret_input,
                            struct tn_fault *fault)
{
    struct tn_tensor tensor = {.dtype = spec->dtype,
                               .shape = spec->wanted.rank > 0 ? spec->wanted : spec->shape};
    for (size_t i = 0; i < tensor.shape.rank; i++) {
        tensor.shape.dims[i] = tensor.shape.dims[i] < 0 ? 1 : tensor.shape.dims[i];
    }
    uint64_t elements = 0;
    enum tn_err err = tn_shape_elements(&tensor.shape, &elements);
    if (err != TN_OK || elements > input_file_max) {
        return tn_fault_set(fault, TN_LIMIT, "input '%.*s': too many elements",
                            TN_STR_ARG(spec->name));
    }
    float *values = TN_ARENA_ARRAY(arena, float, elements);
    if (values == NULL) {
        return no_memory(spec, fault);
    }
    struct tn_random random;
    tn_random_seed(&random, spec->seed);
    for (uint64_t i = 0; i < elements && !tn_str_is(how, "zeros"); i++) {
        values[i] = tn_str_is(how, "ones") ? 1.0f : (float)tn_random_unit(&random);
    }
    err = convert(spec, values, elements, arena, &tensor.data, fault);
    return err == TN_OK ? one_tensor(spec, &tensor, arena, ret_input, fault) : err;
}

static enum tn_err read_array_file(const struct tn_input_spec *spec, struct tn_bytes file,
                                   struct tn_arena *arena, struct tn_input *ret_input,
                                   struct tn_fault *fault)
{
    struct tn_tensor tensor;
    enum tn_err err = tn_npy_read(file, &tensor, fault);
    if (err != TN_OK) {
        return err;
    }
    if (tensor.dtype != spec->dtype) {
        return tn_fault_set(fault, TN_INVALID, "input '%.*s' takes %s, the file holds %s",
                            TN_STR_ARG(spec->name), tn_dtype_name(spec->dtype),
                            tn_dtype_name(tensor.dtype));
    }
    return one_tensor(spec, &tensor, arena, ret_input, fault);
}

static enum tn_err read_file(const struct tn_input_spec *spec, struct tn_str name,
                             struct tn_arena *arena, struct tn_input *ret_input,
                             struct tn_fault *fault)
{
    char *path = tn_arena_copy_str(arena, name);
    struct tn_str text = {0};
    struct tn_recipe recipe;
    enum tn_err err = path == NULL ? no_memory(spec, fault)
                                   : tn_file_read_text(path, input_file_max, arena, &text, fault);
    if (err == TN_OK) {
        err = tn_recipe_parse(spec->recipe, &recipe, fault);
    }
    if (err != TN_OK) {
        return err;
    }
    struct tn_bytes file = tn_bytes_make(text.data, text.size);
    if (ends_with(name, ".wav")) {
        err = read_audio(spec, &recipe, file, arena, ret_input, fault);
    } else if (ends_with(name, ".png") || ends_with(name, ".jpg") || ends_with(name, ".jpeg")) {
        err = read_image(spec, &recipe, file, arena, ret_input, fault);
    } else if (ends_with(name, ".npy")) {
        err = read_array_file(spec, file, arena, ret_input, fault);
    } else if (ends_with(name, ".json")) {
        err = read_json(spec, text, arena, ret_input, fault);
    } else if (ends_with(name, ".txt")) {
        err = read_lines(spec, text, arena, ret_input, fault);
    } else {
        err = read_raw(spec, file, arena, ret_input, fault);
    }
    if (err != TN_OK) {
        tn_fault_wrap(fault, "%s", path);
    }
    return err;
}

enum tn_err tn_input_read(const struct tn_input_spec *spec, struct tn_str value,
                          struct tn_arena *arena, struct tn_input *ret_input,
                          struct tn_fault *fault)
{
    if (value.size > 1 && value.data[0] == '@') {
        return read_file(spec, tn_str_from_offset(value, 1), arena, ret_input, fault);
    }
    if (tn_str_is(value, "zeros") || tn_str_is(value, "ones") || tn_str_is(value, "random")) {
        return generate(spec, value, arena, ret_input, fault);
    }
    bool json = value.size > 0 && (value.data[0] == '[' || value.data[0] == '"');
    if (spec->dtype == TN_DTYPE_BYTES && !json) {
        return read_lines(spec, value, arena, ret_input, fault);
    }
    return read_json(spec, value, arena, ret_input, fault);
}
