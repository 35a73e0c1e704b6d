/* Log and trace settings: see settings.h. */
#include "serve/settings.h"

#include "base/log.h"
#include "base/units.h"
#include "core/assert.h"

enum { RATE_DEFAULT = 1000 };

void tn_settings_init(struct tn_settings *settings)
{
    *settings = (struct tn_settings){0};
    pthread_mutex_init(&settings->lock, NULL);
    settings->all = (struct tn_trace_settings){.rate = RATE_DEFAULT, .count = -1};
    enum tn_log_level level = tn_log_level_get();
    settings->log_error = true;
    settings->log_warning = level <= TN_LOG_WARN;
    settings->log_info = level <= TN_LOG_INFO;
    settings->log_verbose = level == TN_LOG_DEBUG ? 1 : 0;
}

void tn_settings_deinit(struct tn_settings *settings)
{
    pthread_mutex_destroy(&settings->lock);
}

static struct tn_trace_settings *find(struct tn_settings *settings, struct tn_str model)
{
    for (size_t i = 0; i < settings->model_count; i++) {
        if (tn_str_is(model, settings->models[i].model)) {
            return &settings->models[i];
        }
    }
    return NULL;
}

static struct tn_trace_settings effective(struct tn_settings *settings, struct tn_str model)
{
    struct tn_trace_settings result = settings->all;
    const struct tn_trace_settings *own = model.size > 0 ? find(settings, model) : NULL;
    if (own == NULL) {
        return result;
    }
    if (own->has_file) {
        memcpy(result.file, own->file, sizeof(result.file));
    }
    result.timestamps = own->has_level ? own->timestamps : result.timestamps;
    result.rate = own->has_rate ? own->rate : result.rate;
    result.count = own->has_count ? own->count : result.count;
    result.log_frequency = own->has_frequency ? own->log_frequency : result.log_frequency;
    return result;
}

void tn_settings_trace_get(struct tn_settings *settings, struct tn_str model,
                           struct tn_trace_settings *ret_settings)
{
    pthread_mutex_lock(&settings->lock);
    *ret_settings = effective(settings, model);
    pthread_mutex_unlock(&settings->lock);
}

static enum tn_err set_number(struct tn_str key, struct tn_str value, int64_t min, int64_t max,
                              int64_t *ret_number, struct tn_fault *fault)
{
    int64_t number = 0;
    if (tn_units_parse_int(value, &number) != TN_OK || number < min || number > max) {
        return tn_fault_set(fault, TN_INVALID, "%.*s must be a number from %lld, not '%.*s'",
                            TN_STR_ARG(key), (long long)min, TN_STR_ARG(value));
    }
    *ret_number = number;
    return TN_OK;
}

static enum tn_err set_level(struct tn_trace_settings *own, const struct tn_str *values,
                             size_t count, struct tn_fault *fault)
{
    bool timestamps = false;
    for (size_t i = 0; i < count; i++) {
        if (tn_str_is(values[i], "TIMESTAMPS") || tn_str_is(values[i], "TENSORS")) {
            timestamps = true;
        } else if (!tn_str_is(values[i], "OFF")) {
            return tn_fault_set(fault, TN_INVALID,
                                "trace_level must be OFF, TIMESTAMPS or TENSORS, not '%.*s'",
                                TN_STR_ARG(values[i]));
        }
    }
    own->timestamps = timestamps;
    own->has_level = count > 0;
    return TN_OK;
}

static enum tn_err set_file(struct tn_trace_settings *own, const struct tn_str *values,
                            size_t count, struct tn_fault *fault)
{
    struct tn_str path = count > 0 ? values[0] : (struct tn_str){0};
    if (path.size >= TN_SETTINGS_PATH_MAX || (path.size > 0 && memchr(path.data, 0, path.size))) {
        return tn_fault_set(fault, TN_INVALID, "trace_file is too long or holds a zero byte");
    }
    memset(own->file, 0, sizeof(own->file));
    if (path.size > 0) {
        memcpy(own->file, path.data, path.size);
    }
    own->has_file = count > 0;
    return TN_OK;
}

/* The settings that are numbers: their bounds, and what they are when nothing is said. */
struct number_row {
    const char *key;
    int64_t min, max, none;
};
static const struct number_row number_rows[] = {
    {"trace_rate", 1, UINT32_MAX, RATE_DEFAULT},
    {"trace_count", -1, INT64_MAX, -1},
    {"log_frequency", 0, UINT32_MAX, 0},
};

static enum tn_err set_row(struct tn_trace_settings *own, const struct number_row *row,
                           const struct tn_str *values, size_t count, struct tn_fault *fault)
{
    TN_ASSERT(own != NULL);

    int64_t number = row->none;
    enum tn_err err =
        count > 0 ? set_number(tn_str_from(row->key), values[0], row->min, row->max, &number, fault)
                  : TN_OK;
    if (err != TN_OK) {
        return err;
    }
    if (row == &number_rows[0]) {
        own->rate = (uint32_t)number;
        own->has_rate = count > 0;
    } else if (row == &number_rows[1]) {
        own->count = number;
        own->has_count = count > 0;
    } else {
        own->log_frequency = (uint32_t)number;
        own->has_frequency = count > 0;
    }
    return TN_OK;
}

static enum tn_err set_one(struct tn_trace_settings *own, struct tn_str key,
                           const struct tn_str *values, size_t count, struct tn_fault *fault)
{
    struct tn_str value = count > 0 ? values[0] : (struct tn_str){0};
    if (tn_str_is(key, "trace_level")) {
        return set_level(own, values, count, fault);
    }
    if (tn_str_is(key, "trace_file")) {
        return set_file(own, values, count, fault);
    }
    for (size_t i = 0; i < TN_COUNT(number_rows); i++) {
        if (tn_str_is(key, number_rows[i].key)) {
            return set_row(own, &number_rows[i], values, count, fault);
        }
    }
    if (tn_str_is(key, "trace_mode") && (count == 0 || tn_str_is(value, "triton"))) {
        return TN_OK;
    }
    return tn_fault_set(fault, TN_INVALID, "no trace setting '%.*s' can be set to '%.*s'",
                        TN_STR_ARG(key), TN_STR_ARG(value));
}

static void note_tracing(struct tn_settings *settings)
{
    bool tracing = settings->all.timestamps;
    for (size_t i = 0; i < settings->model_count; i++) {
        tracing = tracing || settings->models[i].timestamps;
    }
    atomic_store(&settings->tracing, tracing);
}

enum tn_err tn_settings_trace_set(struct tn_settings *settings, struct tn_str model,
                                  struct tn_str key, const struct tn_str *values, size_t count,
                                  struct tn_fault *fault)
{
    enum tn_err err = TN_OK;
    pthread_mutex_lock(&settings->lock);
    struct tn_trace_settings *own = model.size > 0 ? find(settings, model) : &settings->all;
    if (own == NULL &&
        (settings->model_count == TN_SETTINGS_MODELS_MAX || model.size >= TN_SETTINGS_NAME_MAX)) {
        err = tn_fault_set(fault, TN_LIMIT, "too many models have trace settings of their own");
    } else if (own == NULL) {
        own = &settings->models[settings->model_count++];
        *own = (struct tn_trace_settings){.rate = RATE_DEFAULT, .count = -1};
        memcpy(own->model, model.data, model.size);
    }
    if (err == TN_OK) {
        err = set_one(own, key, values, count, fault);
        note_tracing(settings);
    }
    pthread_mutex_unlock(&settings->lock);
    return err;
}

void tn_settings_trace_start(struct tn_settings *settings, const char *file, unsigned rate)
{
    pthread_mutex_lock(&settings->lock);
    settings->all.rate = rate > 0 ? rate : RATE_DEFAULT;
    settings->all.timestamps = rate > 0;
    size_t size = strlen(file);
    size = size < TN_SETTINGS_PATH_MAX ? size : TN_SETTINGS_PATH_MAX - 1;
    memcpy(settings->all.file, file, size);
    note_tracing(settings);
    pthread_mutex_unlock(&settings->lock);
}

bool tn_settings_sample_slow(struct tn_settings *settings, struct tn_str model,
                             struct tn_trace_settings *ret_settings)
{
    bool sampled = false;
    pthread_mutex_lock(&settings->lock);
    struct tn_trace_settings now = effective(settings, model);
    if (now.timestamps && now.count != 0 && now.file[0] != '\0') {
        sampled = atomic_fetch_add(&settings->seen, 1) % now.rate == 0;
    }
    if (sampled && now.count > 0) {
        struct tn_trace_settings *own = find(settings, model);
        own = own != NULL && own->has_count ? own : &settings->all;
        own->count--;
    }
    pthread_mutex_unlock(&settings->lock);
    *ret_settings = now;
    return sampled;
}

void tn_settings_log_set(struct tn_settings *settings, struct tn_str key, uint32_t value)
{
    pthread_mutex_lock(&settings->lock);
    if (tn_str_is(key, "log_info")) {
        settings->log_info = value != 0;
    } else if (tn_str_is(key, "log_warning")) {
        settings->log_warning = value != 0;
    } else if (tn_str_is(key, "log_error")) {
        settings->log_error = value != 0;
    } else {
        settings->log_verbose = value;
    }
    /* Errors are always logged: nobody should be able to blind the operator from outside. */
    enum tn_log_level level = settings->log_verbose > 0 ? TN_LOG_DEBUG
                              : settings->log_info      ? TN_LOG_INFO
                              : settings->log_warning   ? TN_LOG_WARN
                                                        : TN_LOG_ERROR;
    pthread_mutex_unlock(&settings->lock);
    tn_log_level_set(level);
}
