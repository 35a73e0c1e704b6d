/* Parses recipes word by word against a table; see recipe.h. */
#include "cmd/recipe.h"

#include "core/assert.h"

#include <stdlib.h>

struct word {
    const char *key;
    enum tn_recipe_kind kind;
    bool (*set)(struct tn_recipe *recipe, const char *value);
};

/* "0.5", "1/255" */
static bool read_ratio(const char *text, float *ret_value)
{
    char *end = NULL;
    float value = strtof(text, &end);
    if (end == text) {
        return false;
    }
    if (*end == '/') {
        const char *below = end + 1;
        float divisor = strtof(below, &end);
        if (end == below || divisor == 0.0f) {
            return false;
        }
        value /= divisor;
    }
    *ret_value = value;
    return *end == '\0';
}

/* One value for all channels, or three with commas. */
static bool read_channels(const char *text, float ret_values[3])
{
    char *end = NULL;
    for (size_t i = 0; i < 3; i++) {
        ret_values[i] = strtof(text, &end);
        if (end == text) {
            return false;
        }
        if (i == 0 && *end == '\0') {
            ret_values[1] = ret_values[2] = ret_values[0];
            return true;
        }
        if (*end != (i < 2 ? ',' : '\0')) {
            return false;
        }
        text = end + 1;
    }
    return true;
}

static bool read_count(const char *text, size_t max, size_t *ret_value)
{
    char *end = NULL;
    unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || text[0] == '-' || value == 0 || value > max) {
        return false;
    }
    *ret_value = (size_t)value;
    return true;
}

static bool set_resize(struct tn_recipe *recipe, const char *value)
{
    char *end = NULL;
    unsigned long width = strtoul(value, &end, 10);
    if (end == value || *end != 'x') {
        return false;
    }
    const char *below = end + 1;
    unsigned long height = strtoul(below, &end, 10);
    if (end == below || *end != '\0' || width > 65535 || height > 65535) {
        return false;
    }
    recipe->image.width = width;
    recipe->image.height = height;
    return true;
}

static bool set_keep_ratio(struct tn_recipe *recipe, const char *value)
{
    recipe->image.keep_ratio = true;
    return *value == '\0';
}

static bool set_order(struct tn_recipe *recipe, const char *value)
{
    recipe->image.bgr = strcmp(value, "bgr") == 0;
    recipe->image.gray = strcmp(value, "gray") == 0;
    return recipe->image.bgr || recipe->image.gray || strcmp(value, "rgb") == 0;
}

static bool set_layout(struct tn_recipe *recipe, const char *value)
{
    recipe->image.nhwc = strcmp(value, "nhwc") == 0;
    return recipe->image.nhwc || strcmp(value, "nchw") == 0;
}

static bool set_image_scale(struct tn_recipe *recipe, const char *value)
{
    return read_ratio(value, &recipe->image.scale);
}

static bool set_mean(struct tn_recipe *recipe, const char *value)
{
    return read_channels(value, recipe->image.mean);
}

static bool set_std(struct tn_recipe *recipe, const char *value)
{
    const float *std = recipe->image.std;
    return read_channels(value, recipe->image.std) && std[0] != 0.0f && std[1] != 0.0f &&
           std[2] != 0.0f;
}

static bool set_rate(struct tn_recipe *recipe, const char *value)
{
    size_t rate = 0;
    if (!read_count(value, 1000000, &rate)) {
        return false;
    }
    recipe->audio.rate_hz = (uint32_t)rate;
    return true;
}

static bool set_window(struct tn_recipe *recipe, const char *value)
{
    return read_count(value, (size_t)1 << 30, &recipe->audio.window);
}

static bool set_step(struct tn_recipe *recipe, const char *value)
{
    return read_count(value, (size_t)1 << 30, &recipe->audio.step);
}

static bool set_audio_scale(struct tn_recipe *recipe, const char *value)
{
    return read_ratio(value, &recipe->audio.scale);
}

static const struct word words[] = {
    {"resize", TN_RECIPE_IMAGE, set_resize},     {"keep-ratio", TN_RECIPE_IMAGE, set_keep_ratio},
    {"order", TN_RECIPE_IMAGE, set_order},       {"layout", TN_RECIPE_IMAGE, set_layout},
    {"scale", TN_RECIPE_IMAGE, set_image_scale}, {"mean", TN_RECIPE_IMAGE, set_mean},
    {"std", TN_RECIPE_IMAGE, set_std},           {"rate", TN_RECIPE_AUDIO, set_rate},
    {"window", TN_RECIPE_AUDIO, set_window},     {"step", TN_RECIPE_AUDIO, set_step},
    {"scale", TN_RECIPE_AUDIO, set_audio_scale},
};

static enum tn_err apply(struct tn_recipe *recipe, char *word, struct tn_fault *fault)
{
    char *equals = strchr(word, '=');
    const char *value = equals != NULL ? equals + 1 : "";
    if (equals != NULL) {
        *equals = '\0';
    }
    for (size_t i = 0; i < TN_COUNT(words); i++) {
        if (words[i].kind == recipe->kind && strcmp(words[i].key, word) == 0) {
            return words[i].set(recipe, value)
                       ? TN_OK
                       : tn_fault_set(fault, TN_INVALID, "recipe: '%s' is no value for '%s'", value,
                                      word);
        }
    }
    return tn_fault_set(fault, TN_INVALID, "recipe: '%s' is not known for %s", word,
                        recipe->kind == TN_RECIPE_IMAGE ? "image" : "audio");
}

enum tn_err tn_recipe_parse(struct tn_str text, struct tn_recipe *ret_recipe,
                            struct tn_fault *fault)
{
    struct tn_recipe recipe = {
        .image = {.scale = 1.0f / 255.0f, .std = {1.0f, 1.0f, 1.0f}},
        .audio = {.scale = 1.0f},
    };
    char copy[512];
    if (text.size >= sizeof(copy)) {
        return tn_fault_set(fault, TN_LIMIT, "recipe: longer than %zu characters", sizeof(copy));
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    char *rest = NULL;
    for (char *word = strtok_r(copy, " \t", &rest); word != NULL;
         word = strtok_r(NULL, " \t", &rest)) {
        if (recipe.kind != TN_RECIPE_NONE) {
            enum tn_err err = apply(&recipe, word, fault);
            if (err != TN_OK) {
                return err;
            }
        } else if (strcmp(word, "image") == 0) {
            recipe.kind = TN_RECIPE_IMAGE;
        } else if (strcmp(word, "audio") == 0) {
            recipe.kind = TN_RECIPE_AUDIO;
        } else {
            return tn_fault_set(fault, TN_INVALID,
                                "recipe: begins with '%s' where 'image' or 'audio' belongs", word);
        }
    }
    *ret_recipe = recipe;
    return TN_OK;
}
