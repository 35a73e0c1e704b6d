/* Trace and log settings by REST. Memory: the arena and one block an answer. */
#include "core/assert.h"
#include "core/json.h"
#include "proto/inference.pb.h"
#include "serve/rest_call.h"

enum { SETTINGS_MAX = 16, VALUES_MAX = 8 };

static enum tn_err no_memory(struct tn_rest_call *rest)
{
    return tn_fault_set(&rest->fault, TN_NOMEM, "no memory for this request");
}

/* --- Trace: texts, lists of texts, or null for the default --- */
static enum tn_err add_text(struct tn_rest_call *rest, struct tn_json *json,
                            struct tn_oip_trace_setting_request_setting_value *value)
{
    struct tn_str text;
    if (json->event == TN_JSON_NUMBER) {
        text = json->number.text;
    } else if (json->event != TN_JSON_STRING) {
        return tn_rest_wrong_value(rest, json, "setting", "a text or a list of texts");
    } else if (tn_json_text(json, rest->with.arena, &text) != TN_OK) {
        return no_memory(rest);
    }
    if (value->value_count == VALUES_MAX) {
        return tn_rest_wrong_value(rest, json, "setting", "a list of up to 8 texts");
    }
    value->value[value->value_count++] = text;
    return TN_OK;
}

static enum tn_err read_texts(struct tn_rest_call *rest, struct tn_json *json,
                              struct tn_oip_trace_setting_request_setting_value *value)
{
    value->value = TN_ARENA_ARRAY(rest->with.arena, struct tn_str, VALUES_MAX);
    if (value->value == NULL) {
        return no_memory(rest);
    }
    if (tn_json_next(json) != TN_OK) {
        return tn_rest_wrong_json(rest, json);
    }
    if (json->event == TN_JSON_NULL) {
        return TN_OK;
    }
    if (json->event != TN_JSON_ARRAY) {
        return add_text(rest, json, value);
    }
    while (tn_json_next(json) == TN_OK) {
        if (json->event == TN_JSON_ARRAY_END) {
            return TN_OK;
        }
        enum tn_err err = add_text(rest, json, value);
        if (err != TN_OK) {
            return err;
        }
    }
    return tn_rest_wrong_json(rest, json);
}

static enum tn_err read_trace_body(struct tn_rest_call *rest,
                                   struct tn_oip_trace_setting_request *request)
{
    static const char *const none[] = {NULL};
    struct tn_json json;
    uint32_t seen = 0;
    size_t index = 0;
    struct tn_arena *arena = rest->with.arena;
    request->settings = TN_ARENA_ARRAY(
        arena, struct tn_oip_trace_setting_request_setting_value_entry, SETTINGS_MAX);
    struct tn_oip_trace_setting_request_setting_value *values =
        TN_ARENA_ARRAY(arena, struct tn_oip_trace_setting_request_setting_value, SETTINGS_MAX);
    if (request->settings == NULL || values == NULL) {
        return no_memory(rest);
    }
    enum tn_err err = tn_rest_body_begin(rest, &json);
    while (err == TN_OK && (err = tn_rest_next_key(rest, &json, none, &seen, &index)) == TN_OK) {
        size_t at = request->settings_count;
        if (at == SETTINGS_MAX) {
            return tn_fault_set(&rest->fault, TN_INVALID, "too many settings");
        }
        if (tn_json_text(&json, arena, &request->settings[at].key) != TN_OK) {
            return no_memory(rest);
        }
        request->settings[at].value = &values[at];
        err = read_texts(rest, &json, &values[at]);
        request->settings_count++;
    }
    return err == TN_DONE ? TN_OK : err;
}

void tn_rest_trace(struct tn_rest_call *rest)
{
    struct tn_oip_trace_setting_request request = {.model_name = rest->arguments[0]};
    struct tn_oip_trace_setting_response response = {0};
    struct tn_rest_out out;
    if (read_trace_body(rest, &request) != TN_OK ||
        tn_service_trace_setting(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_out_begin(&out);
    tn_json_open_object(&out.json);
    for (size_t i = 0; i < response.settings_count; i++) {
        struct tn_str key = response.settings[i].key;
        struct tn_str value = response.settings[i].value->value[0];
        if (!tn_str_is(key, "trace_level")) {
            tn_json_pair_str(&out.json, key, value);
            continue;
        }
        tn_json_key(&out.json, key);
        tn_json_open_array(&out.json);
        tn_json_put_str(&out.json, value);
        tn_json_close(&out.json);
    }
    tn_json_close(&out.json);
    tn_rest_out_reply(rest, &out);
}

/* --- Log --- */
static enum tn_err read_setting(struct tn_rest_call *rest, struct tn_json *json,
                                struct tn_oip_log_settings_request_setting_value *value)
{
    uint64_t number = 0;
    if (tn_json_next(json) != TN_OK) {
        return tn_rest_wrong_json(rest, json);
    }
    if (json->event == TN_JSON_TRUE || json->event == TN_JSON_FALSE) {
        value->parameter_choice = TN_OIP_LOG_SETTINGS_REQUEST_SETTING_VALUE_BOOL_PARAM;
        value->bool_param = json->event == TN_JSON_TRUE;
        return TN_OK;
    }
    if (json->event == TN_JSON_NUMBER && tn_number_uint64(&json->number, &number) == TN_OK &&
        number <= UINT32_MAX) {
        value->parameter_choice = TN_OIP_LOG_SETTINGS_REQUEST_SETTING_VALUE_UINT32_PARAM;
        value->uint32_param = (uint32_t)number;
        return TN_OK;
    }
    value->parameter_choice = TN_OIP_LOG_SETTINGS_REQUEST_SETTING_VALUE_STRING_PARAM;
    return json->event == TN_JSON_STRING
               ? TN_OK
               : tn_rest_wrong_value(rest, json, "setting", "true, false, a number or a text");
}

static enum tn_err read_log_body(struct tn_rest_call *rest,
                                 struct tn_oip_log_settings_request *request)
{
    static const char *const none[] = {NULL};
    struct tn_json json;
    uint32_t seen = 0;
    size_t index = 0;
    struct tn_arena *arena = rest->with.arena;
    request->settings =
        TN_ARENA_ARRAY(arena, struct tn_oip_log_settings_request_setting_value_entry, SETTINGS_MAX);
    struct tn_oip_log_settings_request_setting_value *values =
        TN_ARENA_ARRAY(arena, struct tn_oip_log_settings_request_setting_value, SETTINGS_MAX);
    if (request->settings == NULL || values == NULL) {
        return no_memory(rest);
    }
    enum tn_err err = tn_rest_body_begin(rest, &json);
    while (err == TN_OK && (err = tn_rest_next_key(rest, &json, none, &seen, &index)) == TN_OK) {
        size_t at = request->settings_count;
        if (at == SETTINGS_MAX) {
            return tn_fault_set(&rest->fault, TN_INVALID, "too many settings");
        }
        if (tn_json_text(&json, arena, &request->settings[at].key) != TN_OK) {
            return no_memory(rest);
        }
        request->settings[at].value = &values[at];
        err = read_setting(rest, &json, &values[at]);
        request->settings_count++;
    }
    return err == TN_DONE ? TN_OK : err;
}

void tn_rest_logging(struct tn_rest_call *rest)
{
    struct tn_oip_log_settings_request request = {0};
    struct tn_oip_log_settings_response response = {0};
    struct tn_rest_out out;
    if (read_log_body(rest, &request) != TN_OK ||
        tn_service_log_settings(&rest->with, &request, &response) != TN_OK) {
        tn_rest_fail(rest);
        return;
    }
    tn_rest_out_begin(&out);
    tn_json_open_object(&out.json);
    for (size_t i = 0; i < response.settings_count; i++) {
        const struct tn_oip_log_settings_response_setting_value *value = response.settings[i].value;
        tn_json_key(&out.json, response.settings[i].key);
        switch (value->parameter_choice) {
        case TN_OIP_LOG_SETTINGS_RESPONSE_SETTING_VALUE_BOOL_PARAM:
            tn_json_put_bool(&out.json, value->bool_param);
            break;
        case TN_OIP_LOG_SETTINGS_RESPONSE_SETTING_VALUE_UINT32_PARAM:
            tn_json_put_uint64(&out.json, value->uint32_param);
            break;
        default:
            tn_json_put_str(&out.json, value->string_param);
        }
    }
    tn_json_close(&out.json);
    tn_rest_out_reply(rest, &out);
}
