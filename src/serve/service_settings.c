/* Trace and log settings as messages: see serve/settings.h. Memory: the arena of the call. */
#include "base/log.h"
#include "core/assert.h"
#include "core/number.h"
#include "proto/inference.pb.h"
#include "serve/service.h"

#include <stdio.h>

static enum tn_err no_memory(const struct tn_service_call *call)
{
    return tn_fault_set(call->fault, TN_NOMEM, "no memory for this answer");
}

/* --- Trace --- */
enum { TRACE_COUNT = 6 };

static struct tn_str number_text(const struct tn_service_call *call, int64_t value)
{
    char text[TN_NUMBER_SIZE_MAX];
    size_t size = tn_number_put_int64(text, value);
    return tn_str_from(tn_arena_copy_str(call->arena, tn_str_make(text, size)));
}

static enum tn_err show_trace(const struct tn_service_call *call, struct tn_str model,
                              struct tn_oip_trace_setting_response *ret_response)
{
    struct tn_trace_settings now;
    tn_settings_trace_get(&call->service->settings, model, &now);
    const char *file = tn_arena_copy_str(call->arena, tn_str_from(now.file));
    const struct {
        struct tn_str key;
        struct tn_str value;
    } rows[TRACE_COUNT] = {
        {TN_STR("trace_level"), now.timestamps ? TN_STR_OF("TIMESTAMPS") : TN_STR_OF("OFF")},
        {TN_STR("trace_rate"), number_text(call, now.rate)},
        {TN_STR("trace_count"), number_text(call, now.count)},
        {TN_STR("log_frequency"), number_text(call, now.log_frequency)},
        {TN_STR("trace_file"), tn_str_from(file)},
        {TN_STR("trace_mode"), TN_STR("triton")},
    };
    struct tn_oip_trace_setting_response_setting_value_entry *entries = TN_ARENA_ARRAY(
        call->arena, struct tn_oip_trace_setting_response_setting_value_entry, TRACE_COUNT);
    struct tn_oip_trace_setting_response_setting_value *values = TN_ARENA_ARRAY(
        call->arena, struct tn_oip_trace_setting_response_setting_value, TRACE_COUNT);
    struct tn_str *texts = TN_ARENA_ARRAY(call->arena, struct tn_str, TRACE_COUNT);
    if (entries == NULL || values == NULL || texts == NULL || file == NULL) {
        return no_memory(call);
    }
    for (size_t i = 0; i < TRACE_COUNT; i++) {
        texts[i] = rows[i].value;
        values[i].value = &texts[i];
        values[i].value_count = 1;
        entries[i].key = rows[i].key;
        entries[i].value = &values[i];
    }
    ret_response->settings = entries;
    ret_response->settings_count = TRACE_COUNT;
    return TN_OK;
}

enum tn_err tn_service_trace_setting(const struct tn_service_call *call,
                                     const struct tn_oip_trace_setting_request *request,
                                     struct tn_oip_trace_setting_response *ret_response)
{
    struct tn_entry *entry = NULL;
    enum tn_err err = TN_OK;
    if (request->model_name.size > 0) {
        err = tn_service_entry(call, request->model_name, TN_STR_OF(""), &entry);
    }
    for (size_t i = 0; err == TN_OK && i < request->settings_count; i++) {
        const struct tn_oip_trace_setting_request_setting_value *value = request->settings[i].value;
        if (tn_str_is(request->settings[i].key, "trace_file") && value != NULL &&
            value->value_count > 0) {
            return tn_fault_set(call->fault, TN_DENIED,
                                "trace_file is set by the operator (--trace-file), not by clients");
        }
        err = tn_settings_trace_set(&call->service->settings, request->model_name,
                                    request->settings[i].key, value != NULL ? value->value : NULL,
                                    value != NULL ? value->value_count : 0, call->fault);
    }
    return err == TN_OK ? show_trace(call, request->model_name, ret_response) : err;
}

/* --- Log --- */
enum { LOG_COUNT = 6 };

static enum tn_err set_log(const struct tn_service_call *call, struct tn_str key,
                           const struct tn_oip_log_settings_request_setting_value *value)
{
    static const char *const flags[] = {"log_info", "log_warning", "log_error"};
    for (size_t i = 0; i < TN_COUNT(flags); i++) {
        if (!tn_str_is(key, flags[i])) {
            continue;
        }
        if (value == NULL ||
            value->parameter_choice != TN_OIP_LOG_SETTINGS_REQUEST_SETTING_VALUE_BOOL_PARAM) {
            return tn_fault_set(call->fault, TN_INVALID, "%s must be true or false", flags[i]);
        }
        tn_settings_log_set(&call->service->settings, key, value->bool_param ? 1 : 0);
        return TN_OK;
    }
    if (tn_str_is(key, "log_verbose_level")) {
        if (value == NULL ||
            value->parameter_choice != TN_OIP_LOG_SETTINGS_REQUEST_SETTING_VALUE_UINT32_PARAM) {
            return tn_fault_set(call->fault, TN_INVALID, "log_verbose_level must be a number");
        }
        tn_settings_log_set(&call->service->settings, key, value->uint32_param);
        return TN_OK;
    }
    return tn_fault_set(call->fault, TN_INVALID,
                        "log setting '%.*s' cannot be changed: log_info, log_warning, log_error "
                        "and log_verbose_level can",
                        TN_STR_ARG(key));
}

enum tn_err tn_service_log_settings(const struct tn_service_call *call,
                                    const struct tn_oip_log_settings_request *request,
                                    struct tn_oip_log_settings_response *ret_response)
{
    for (size_t i = 0; i < request->settings_count; i++) {
        enum tn_err err = set_log(call, request->settings[i].key, request->settings[i].value);
        if (err != TN_OK) {
            return err;
        }
    }
    struct tn_settings *settings = &call->service->settings;
    pthread_mutex_lock(&settings->lock);
    const struct tn_oip_log_settings_response_setting_value rows[LOG_COUNT] = {
        {.parameter_choice = TN_OIP_LOG_SETTINGS_RESPONSE_SETTING_VALUE_STRING_PARAM,
         .string_param = TN_STR("")},
        {.parameter_choice = TN_OIP_LOG_SETTINGS_RESPONSE_SETTING_VALUE_BOOL_PARAM,
         .bool_param = settings->log_info},
        {.parameter_choice = TN_OIP_LOG_SETTINGS_RESPONSE_SETTING_VALUE_BOOL_PARAM,
         .bool_param = settings->log_warning},
        {.parameter_choice = TN_OIP_LOG_SETTINGS_RESPONSE_SETTING_VALUE_BOOL_PARAM,
         .bool_param = settings->log_error},
        {.parameter_choice = TN_OIP_LOG_SETTINGS_RESPONSE_SETTING_VALUE_UINT32_PARAM,
         .uint32_param = settings->log_verbose},
        {.parameter_choice = TN_OIP_LOG_SETTINGS_RESPONSE_SETTING_VALUE_STRING_PARAM,
         .string_param = TN_STR("default")},
    };
    pthread_mutex_unlock(&settings->lock);
    static const struct tn_str keys[LOG_COUNT] = {
        TN_STR("log_file"),  TN_STR("log_info"),          TN_STR("log_warning"),
        TN_STR("log_error"), TN_STR("log_verbose_level"), TN_STR("log_format")};
    struct tn_oip_log_settings_response_setting_value *values = tn_arena_take(
        call->arena, sizeof(rows), _Alignof(struct tn_oip_log_settings_response_setting_value));
    struct tn_oip_log_settings_response_setting_value_entry *entries = TN_ARENA_ARRAY(
        call->arena, struct tn_oip_log_settings_response_setting_value_entry, LOG_COUNT);
    if (values == NULL || entries == NULL) {
        return no_memory(call);
    }
    memcpy(values, rows, sizeof(rows));
    for (size_t i = 0; i < LOG_COUNT; i++) {
        entries[i].key = keys[i];
        entries[i].value = &values[i];
    }
    ret_response->settings = entries;
    ret_response->settings_count = LOG_COUNT;
    return TN_OK;
}
