/* One loaded version of a model: see entry.h. */
#include "serve/entry.h"

#include "base/mem.h"
#include "base/secret.h"
#include "base/sha256.h"
#include "core/assert.h"
#include "core/pb.h"

#include <stdio.h>

static const char hash_name[] = "model_sha256";

static uint8_t *put_field(uint8_t *at, uint32_t number, struct tn_str text)
{
    at += tn_pb_put_head(at, number, text.size);
    if (text.size > 0) {
        memcpy(at, text.data, text.size);
    }
    return at + text.size;
}

static bool encode_head(struct tn_entry *entry)
{
    struct tn_str name = entry->info->name;
    uint8_t *start =
        tn_arena_take(&entry->arena, name.size + entry->version.size + 2 * TN_PB_HEAD_SIZE_MAX, 1);
    if (start == NULL) {
        return false;
    }
    uint8_t *at = put_field(start, 1, name);
    at = put_field(at, 2, entry->version);
    entry->head = tn_bytes_make(start, (size_t)(at - start));
    return true;
}

/* parameters (4): {key: "model_sha256", value: {string_param: "..."}} */
static bool encode_parameters(struct tn_entry *entry)
{
    uint8_t value[80];
    uint8_t item[128];
    uint8_t *value_end = put_field(value, 3, entry->sha256);
    uint8_t *item_end = put_field(item, 1, tn_str_from(hash_name));
    item_end = put_field(item_end, 2, tn_str_make((char *)value, (size_t)(value_end - value)));
    uint8_t *start = tn_arena_take(&entry->arena, sizeof(item) + TN_PB_HEAD_SIZE_MAX, 1);
    if (start == NULL) {
        return false;
    }
    uint8_t *at = put_field(start, 4, tn_str_make((char *)item, (size_t)(item_end - item)));
    entry->parameters = tn_bytes_make(start, (size_t)(at - start));
    return true;
}

static bool encode_outputs(struct tn_entry *entry)
{
    size_t count = entry->info->output_count;
    entry->output_heads = TN_ARENA_ARRAY(&entry->arena, struct tn_bytes, count + 1);
    entry->labels = TN_ARENA_ARRAY(&entry->arena, struct tn_entry_labels, count + 1);
    if (entry->output_heads == NULL || entry->labels == NULL) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct tn_signature *output = &entry->info->outputs[i];
        struct tn_str dtype = tn_str_from(tn_dtype_name(output->dtype));
        uint8_t *start = tn_arena_take(&entry->arena,
                                       output->name.size + dtype.size + 2 * TN_PB_HEAD_SIZE_MAX, 1);
        if (start == NULL) {
            return false;
        }
        uint8_t *at = put_field(start, 1, output->name);
        at = put_field(at, 2, dtype);
        entry->output_heads[i] = tn_bytes_make(start, (size_t)(at - start));
    }
    return true;
}

static bool write_texts(struct tn_entry *entry)
{
    char *version = tn_arena_take(&entry->arena, TN_ENTRY_VERSION_TEXT_MAX, 1);
    char *hash = tn_arena_take(&entry->arena, TN_SHA256_HEX_SIZE + 1, 1);
    if (version == NULL || hash == NULL) {
        return false;
    }
    int size = snprintf(version, TN_ENTRY_VERSION_TEXT_MAX, "%llu",
                        (unsigned long long)entry->info->version);
    tn_sha256_print(entry->info->sha256, hash);
    entry->version = tn_str_make(version, (size_t)size);
    entry->sha256 = tn_str_make(hash, TN_SHA256_HEX_SIZE);
    return true;
}

static enum tn_err read_tokens(struct tn_entry *entry, struct tn_fault *fault)
{
    size_t count = entry->config->token_count;
    entry->tokens = tn_arena_take_zeroed(&entry->arena, count + 1, 32, 1);
    if (entry->tokens == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for tokens");
    }
    for (size_t i = 0; i < count; i++) {
        if (tn_sha256_parse(entry->config->tokens[i], entry->tokens[i]) != TN_OK) {
            return tn_fault_set(
                fault, TN_INVALID,
                "a token must be given as the 64 hexadecimal digits of its SHA-256");
        }
    }
    entry->token_count = count;
    return TN_OK;
}

enum tn_err tn_entry_create(const struct tn_entry_options *options, struct tn_entry **ret_entry,
                            struct tn_fault *fault)
{
    struct tn_entry *entry = tn_mem_take_zeroed(1, sizeof(*entry));
    if (entry == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for a model");
    }
    atomic_init(&entry->refs, 1);
    entry->arena = *options->arena;
    entry->model = options->model;
    entry->info = tn_model_info(options->model);
    entry->config = options->config;
    entry->retire = options->retire;
    entry->retire_context = options->retire_context;
    enum tn_err err = read_tokens(entry, fault);
    if (err == TN_OK && (!write_texts(entry) || !encode_head(entry) || !encode_parameters(entry) ||
                         !encode_outputs(entry))) {
        err = tn_fault_set(fault, TN_NOMEM, "no memory for a model");
    }
    if (err != TN_OK) {
        *options->arena = entry->arena;
        tn_mem_give(entry);
        return err;
    }
    *options->arena = (struct tn_arena){0};
    *ret_entry = entry;
    return TN_OK;
}

void tn_entry_destroy(struct tn_entry *entry)
{
    if (entry == NULL) {
        return;
    }
    tn_model_unref(entry->model);
    tn_arena_deinit(&entry->arena);
    tn_mem_give(entry);
}

void tn_entry_unref(struct tn_entry *entry)
{
    if (entry != NULL && atomic_fetch_sub_explicit(&entry->refs, 1, memory_order_acq_rel) == 1) {
        entry->retire(entry->retire_context, entry);
    }
}

enum tn_err tn_entry_allows(const struct tn_entry *entry, struct tn_str authorization,
                            struct tn_fault *fault)
{
    if (entry->token_count == 0) {
        return TN_OK;
    }
    static const char scheme[] = "bearer ";
    size_t lead = sizeof(scheme) - 1;
    bool bearer = authorization.size > lead;
    for (size_t i = 0; bearer && i < lead; i++) {
        bearer = (authorization.data[i] | 0x20) == (scheme[i] | 0x20);
    }
    if (!bearer) {
        return tn_fault_set(fault, TN_UNAUTHENTICATED,
                            "model '%.*s' needs a token: send 'authorization: Bearer TOKEN'",
                            TN_STR_ARG(entry->info->name));
    }
    uint8_t hash[32];
    enum tn_err err =
        tn_sha256(tn_bytes_make(authorization.data + lead, authorization.size - lead), hash);
    if (err != TN_OK) {
        return tn_fault_set(fault, err, "no memory to check a token");
    }
    bool allowed = false;
    for (size_t i = 0; i < entry->token_count; i++) {
        bool same = tn_secret_equal(tn_bytes_make(hash, sizeof(hash)),
                                    tn_bytes_make(entry->tokens[i], sizeof(hash)));
        allowed = allowed || same;
    }
    if (!allowed) {
        return tn_fault_set(fault, TN_DENIED, "this token may not use model '%.*s'",
                            TN_STR_ARG(entry->info->name));
    }
    return TN_OK;
}
