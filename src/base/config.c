/* YAML into tables; see config.h. libyaml parses the bytes into a tree of nodes with positions; the
 * mapper walks tree and table together. Why not libcyaml: docs/decisions.
 * Memory: see config.h. Threads: any. Bounds: the depth and the number of nodes visited, so neither
 * a cycle of aliases nor "a billion laughs" gets far. */
#include "base/config.h"

#include "base/suggest.h"
#include "core/assert.h"

#include <yaml.h>

/* KEYS_MAX and ANCHORS_MAX bound what is looked through once for each: our keys of one mapping, and
 * libyaml's anchors. */
enum { NODES_MAX = 100000, LEVELS_MAX = 64, KEYS_MAX = 4096, ANCHORS_MAX = 4096 };

struct reader {
    yaml_document_t *document;
    const char *file;
    struct tn_option_given *given;
    struct tn_fault *fault;
    size_t nodes_left;
    unsigned level;
};

static struct tn_str node_text(const yaml_node_t *node)
{
    return tn_str_make((const char *)node->data.scalar.value, node->data.scalar.length);
}

/* Adds "file:line:column: " to the fault. */
static enum tn_err at_node(const struct reader *reader, const yaml_node_t *node, enum tn_err err)
{
    tn_fault_wrap(reader->fault, "%s:%zu:%zu", reader->file, node->start_mark.line + 1,
                  node->start_mark.column + 1);
    return err;
}

static enum tn_err read_value(struct reader *reader, const struct tn_option *option, void *field,
                              const yaml_node_t *node);

static enum tn_err wrong_kind(const struct reader *reader, const struct tn_option *option,
                              const yaml_node_t *node)
{
    struct tn_buf expected;
    tn_buf_init(&expected, TN_FAULT_TEXT_MAX);
    tn_option_print_expected(option, &expected);
    const char *found = node->type == YAML_SEQUENCE_NODE  ? "a list"
                        : node->type == YAML_MAPPING_NODE ? "a mapping"
                                                          : "a single value";
    if (node->type == YAML_SCALAR_NODE && node->data.scalar.length == 0) {
        found = "nothing";
    }
    tn_fault_set(reader->fault, TN_INVALID, "expected %.*s, found %s",
                 TN_STR_ARG(tn_buf_str(&expected)), found);
    tn_buf_deinit(&expected);
    return at_node(reader, node, TN_INVALID);
}

/* "key:" with nothing behind it. */
static bool is_nothing(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) {
        return false;
    }
    struct tn_str text = node_text(node);
    return text.size == 0 || tn_str_is(text, "~") || tn_str_is(text, "null");
}

static const struct tn_option *find_key(const struct tn_option_table *table, struct tn_str key)
{
    for (size_t i = 0; i < table->count; i++) {
        if (!table->options[i].flag_only && tn_str_is(key, table->options[i].name)) {
            return &table->options[i];
        }
    }
    return NULL;
}

static enum tn_err unknown_key(const struct reader *reader, const struct tn_option_table *table,
                               const yaml_node_t *key)
{
    struct tn_suggest suggest;
    tn_suggest_init(&suggest, node_text(key));
    for (size_t i = 0; i < table->count; i++) {
        if (!table->options[i].flag_only) {
            tn_suggest_offer(&suggest, table->options[i].name);
        }
    }
    bool near = suggest.best != NULL;
    tn_fault_set(reader->fault, TN_INVALID, "unknown key '%.*s'%s%s%s", TN_STR_ARG(node_text(key)),
                 near ? "; did you mean '" : "", near ? suggest.best : "", near ? "'?" : "");
    return at_node(reader, key, TN_INVALID);
}

/* Two equal keys in one mapping; libyaml does not mind them. Quadratic, over a bounded count. */
static const yaml_node_t *doubled_key(const struct reader *reader, const yaml_node_t *mapping,
                                      const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);
    for (const yaml_node_pair_t *other = mapping->data.mapping.pairs.start; other < pair; other++) {
        const yaml_node_t *before = yaml_document_get_node(reader->document, other->key);
        if (before->type == YAML_SCALAR_NODE && tn_str_equal(node_text(before), node_text(key))) {
            return before;
        }
    }
    return NULL;
}

/* The key of a pair, checked: a scalar, and new in its mapping. */
static enum tn_err read_key(const struct reader *reader, const yaml_node_t *mapping,
                            const yaml_node_pair_t *pair, const yaml_node_t **ret_key)
{
    const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);
    if (key->type != YAML_SCALAR_NODE) {
        tn_fault_set(reader->fault, TN_INVALID, "a key must be a single word");
        return at_node(reader, key, TN_INVALID);
    }
    if (pair - mapping->data.mapping.pairs.start >= KEYS_MAX) {
        tn_fault_set(reader->fault, TN_LIMIT, "more than %d keys in one mapping", KEYS_MAX);
        return at_node(reader, key, TN_LIMIT);
    }
    const yaml_node_t *before = doubled_key(reader, mapping, pair);
    if (before != NULL) {
        tn_fault_set(reader->fault, TN_INVALID, "key '%.*s' is there already, in line %zu",
                     TN_STR_ARG(node_text(key)), before->start_mark.line + 1);
        return at_node(reader, key, TN_INVALID);
    }
    *ret_key = key;
    return TN_OK;
}

/* At the key: the value may be an alias, whose position is that of its anchor. */
static enum tn_err mark(const struct reader *reader, const struct tn_option *option,
                        const void *field, const yaml_node_t *key)
{
    enum tn_err err = tn_option_given_add(reader->given, option, field, reader->file,
                                          (unsigned)key->start_mark.line + 1,
                                          (unsigned)key->start_mark.column + 1);
    return err < 0 ? tn_fault_set(reader->fault, err, "%s: no memory", reader->file) : TN_OK;
}

static enum tn_err read_pair(struct reader *reader, const struct tn_option_table *table,
                             void *target, const yaml_node_t *mapping, const yaml_node_pair_t *pair)
{
    const yaml_node_t *key = NULL;
    enum tn_err err = read_key(reader, mapping, pair, &key);
    if (err < 0) {
        return err;
    }
    const struct tn_option *option = find_key(table, node_text(key));
    if (option == NULL) {
        return unknown_key(reader, table, key);
    }
    const yaml_node_t *value = yaml_document_get_node(reader->document, pair->value);
    void *field = (uint8_t *)target + option->offset;
    err = mark(reader, option, field, key);
    return err < 0 ? err : read_value(reader, option, field, value);
}

static enum tn_err read_table(struct reader *reader, const struct tn_option_table *table,
                              void *target, const yaml_node_t *node)
{
    const yaml_node_pair_t *end = node->data.mapping.pairs.top;
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < end; pair++) {
        enum tn_err err = read_pair(reader, table, target, node, pair);
        if (err < 0) {
            return err;
        }
    }
    return TN_OK;
}

static enum tn_err read_struct(struct reader *reader, const struct tn_option_table *table,
                               void *target, const yaml_node_t *node)
{
    enum tn_err err = is_nothing(node) ? TN_OK : read_table(reader, table, target, node);
    if (err < 0) {
        return err;
    }
    err = tn_option_check_required(table, target, reader->given, TN_OPTION_AS_KEY, reader->fault);
    return err < 0 ? at_node(reader, node, err) : TN_OK;
}

static enum tn_err read_element(struct reader *reader, const struct tn_option *option, void *field,
                                struct tn_str name, const yaml_node_t *node)
{
    void *item = NULL;
    struct tn_arena *arena = reader->given->arena;
    enum tn_err err = tn_option_append(option, field, name, arena, &item, reader->fault);
    if (err < 0) {
        return at_node(reader, node, err);
    }
    const struct tn_option *element = tn_option_element(option);
    if (element->kind == TN_OPTION_STRUCT) {
        err = tn_option_set_defaults(element->table, item, arena);
        if (err < 0) {
            return tn_fault_set(reader->fault, err, "%s: no memory", reader->file);
        }
    }
    return read_value(reader, element, item, node);
}

static enum tn_err read_list(struct reader *reader, const struct tn_option *option, void *field,
                             const yaml_node_t *node)
{
    *(struct tn_option_list *)field = (struct tn_option_list){0};
    if (is_nothing(node)) {
        return TN_OK;
    }
    const yaml_node_item_t *end = node->data.sequence.items.top;
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < end; item++) {
        enum tn_err err = read_element(reader, option, field, tn_str_make(NULL, 0),
                                       yaml_document_get_node(reader->document, *item));
        if (err < 0) {
            return err;
        }
    }
    return TN_OK;
}

static enum tn_err read_map(struct reader *reader, const struct tn_option *option, void *field,
                            const yaml_node_t *node)
{
    *(struct tn_option_map *)field = (struct tn_option_map){0};
    if (is_nothing(node)) {
        return TN_OK;
    }
    const yaml_node_pair_t *end = node->data.mapping.pairs.top;
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < end; pair++) {
        const yaml_node_t *key = NULL;
        enum tn_err err = read_key(reader, node, pair, &key);
        if (err == TN_OK && memchr(node_text(key).data, '\0', node_text(key).size) != NULL) {
            err = tn_fault_set(reader->fault, TN_INVALID, "a name must not contain a zero byte");
            err = at_node(reader, key, err);
        }
        if (err == TN_OK) {
            err = read_element(reader, option, field, node_text(key),
                               yaml_document_get_node(reader->document, pair->value));
        }
        if (err < 0) {
            return err;
        }
    }
    return TN_OK;
}

static enum tn_err read_scalar(struct reader *reader, const struct tn_option *option, void *field,
                               const yaml_node_t *node)
{
    if (is_nothing(node)) {
        return wrong_kind(reader, option, node);
    }
    enum tn_err err =
        tn_option_set(option, field, node_text(node), reader->given->arena, reader->fault);
    return err < 0 ? at_node(reader, node, err) : TN_OK;
}

/* Whether the node's form suits the kind; nothing suits every kind but a scalar. */
static bool form_fits(const struct tn_option *option, const yaml_node_t *node)
{
    if (tn_option_is_scalar(option)) {
        return node->type == YAML_SCALAR_NODE;
    }
    bool list = option->kind == TN_OPTION_LIST;
    return is_nothing(node) || node->type == (list ? YAML_SEQUENCE_NODE : YAML_MAPPING_NODE);
}

static enum tn_err read_value(struct reader *reader, const struct tn_option *option, void *field,
                              const yaml_node_t *node)
{
    if (reader->nodes_left == 0 || reader->level >= LEVELS_MAX) {
        tn_fault_set(reader->fault, TN_LIMIT, "more than %d values or %d levels", NODES_MAX,
                     LEVELS_MAX);
        return at_node(reader, node, TN_LIMIT);
    }
    reader->nodes_left--;
    if (!form_fits(option, node)) {
        return wrong_kind(reader, option, node);
    }
    reader->level++;
    enum tn_err err = TN_OK;
    if (option->kind == TN_OPTION_STRUCT) {
        err = read_struct(reader, option->table, field, node);
    } else if (option->kind == TN_OPTION_LIST) {
        err = read_list(reader, option, field, node);
    } else if (option->kind == TN_OPTION_MAP) {
        err = read_map(reader, option, field, node);
    } else {
        err = read_scalar(reader, option, field, node);
    }
    reader->level--;
    return err;
}

/* ---- the document ---- */

static enum tn_err unknown_section(const struct reader *reader,
                                   const struct tn_config_source *source, const yaml_node_t *key)
{
    struct tn_suggest suggest;
    tn_suggest_init(&suggest, node_text(key));
    for (const char *const *name = source->sections; *name != NULL; name++) {
        if (tn_str_is(node_text(key), *name)) {
            return TN_OK;
        }
        tn_suggest_offer(&suggest, *name);
    }
    bool near = suggest.best != NULL;
    tn_fault_set(reader->fault, TN_INVALID, "unknown section '%.*s'%s%s%s",
                 TN_STR_ARG(node_text(key)), near ? "; did you mean '" : "",
                 near ? suggest.best : "", near ? "'?" : "");
    return at_node(reader, key, TN_INVALID);
}

/* Finds the section's value among the top-level keys; NULL when it is absent. */
static enum tn_err find_section(const struct reader *reader, const struct tn_config_source *source,
                                const yaml_node_t *root, const yaml_node_t **ret_section)
{
    const yaml_node_t *section = NULL;
    const yaml_node_pair_t *end = root->data.mapping.pairs.top;
    for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start; pair < end; pair++) {
        const yaml_node_t *key = NULL;
        enum tn_err err = read_key(reader, root, pair, &key);
        if (err == TN_OK && source->sections != NULL) {
            err = unknown_section(reader, source, key);
        }
        if (err < 0) {
            return err;
        }
        if (tn_str_is(node_text(key), source->section)) {
            section = yaml_document_get_node(reader->document, pair->value);
        }
    }
    *ret_section = section;
    return TN_OK;
}

static enum tn_err read_document(struct reader *reader, const struct tn_config_source *source,
                                 const struct tn_option_table *table, void *target)
{
    const yaml_node_t *root = yaml_document_get_root_node(reader->document);
    if (root == NULL || is_nothing(root)) {
        return TN_OK;
    }
    const struct tn_option whole = {.kind = TN_OPTION_STRUCT, .table = table};
    if (root->type != YAML_MAPPING_NODE) {
        return wrong_kind(reader, &whole, root);
    }
    if (source->section != NULL) {
        enum tn_err err = find_section(reader, source, root, &root);
        if (err < 0 || root == NULL || is_nothing(root)) {
            return err;
        }
        if (root->type != YAML_MAPPING_NODE) {
            return wrong_kind(reader, &whole, root);
        }
    }
    return read_table(reader, table, target, root);
}

static enum tn_err parse_failed(const yaml_parser_t *parser, const char *name,
                                struct tn_fault *fault)
{
    if (parser->error == YAML_MEMORY_ERROR) {
        return tn_fault_set(fault, TN_NOMEM, "%s: no memory", name);
    }
    const char *problem = parser->problem != NULL ? parser->problem : "not YAML";
    if (parser->error == YAML_READER_ERROR) {
        return tn_fault_set(fault, TN_INVALID, "%s: %s at byte %zu", name, problem,
                            parser->problem_offset);
    }
    return tn_fault_set(fault, TN_INVALID, "%s:%zu:%zu: %s%s%s", name,
                        parser->problem_mark.line + 1, parser->problem_mark.column + 1, problem,
                        parser->context != NULL ? " " : "",
                        parser->context != NULL ? parser->context : "");
}

/* A second document would be ignored silently; say so instead. */
static enum tn_err expect_end(yaml_parser_t *parser, const char *name, struct tn_fault *fault)
{
    yaml_document_t next;
    if (yaml_parser_load(parser, &next) == 0) {
        return parse_failed(parser, name, fault);
    }
    const yaml_node_t *root = yaml_document_get_root_node(&next);
    enum tn_err err = TN_OK;
    if (root != NULL) {
        err = tn_fault_set(fault, TN_INVALID, "%s:%zu:%zu: a second document ('---')", name,
                           next.start_mark.line + 1, next.start_mark.column + 1);
    }
    yaml_document_delete(&next);
    return err;
}

static int level_step(yaml_token_type_t type)
{
    switch (type) {
    case YAML_BLOCK_SEQUENCE_START_TOKEN:
    case YAML_BLOCK_MAPPING_START_TOKEN:
    case YAML_FLOW_SEQUENCE_START_TOKEN:
    case YAML_FLOW_MAPPING_START_TOKEN:
        return 1;
    case YAML_BLOCK_END_TOKEN:
    case YAML_FLOW_SEQUENCE_END_TOKEN:
    case YAML_FLOW_MAPPING_END_TOKEN:
        return -1;
    default:
        return 0;
    }
}

/* Looks through the tokens for what libyaml's loader takes quadratic time over: a megabyte of '['
 * is ten minutes of its work. Its scanner alone, asked for one token at a time, can be stopped.
 * What is no YAML at all passes here: the loader says it better. */
static enum tn_err check_tokens(struct tn_str yaml, const char *name, struct tn_fault *fault)
{
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
        return tn_fault_set(fault, TN_NOMEM, "%s: no memory", name);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.data, yaml.size);
    enum tn_err err = TN_OK;
    int level = 0;
    unsigned anchors = 0;
    for (bool end = false; !end && err == TN_OK;) {
        yaml_token_t token;
        if (yaml_parser_scan(&parser, &token) == 0) {
            break;
        }
        level += level_step(token.type);
        anchors += token.type == YAML_ANCHOR_TOKEN;
        if (level > LEVELS_MAX || anchors > ANCHORS_MAX) {
            err = tn_fault_set(fault, TN_LIMIT, "%s:%zu:%zu: more than %d levels or %d anchors",
                               name, token.start_mark.line + 1, token.start_mark.column + 1,
                               LEVELS_MAX, ANCHORS_MAX);
        }
        end = token.type == YAML_STREAM_END_TOKEN;
        yaml_token_delete(&token);
    }
    yaml_parser_delete(&parser);
    return err;
}

enum tn_err tn_config_read(const struct tn_config_source *source,
                           const struct tn_option_table *table, void *target,
                           struct tn_option_given *given, struct tn_fault *fault)
{
    if (source->yaml.size > TN_CONFIG_SIZE_MAX) {
        return tn_fault_set(fault, TN_LIMIT, "%s: %zu bytes, more than %d", source->name,
                            source->yaml.size, TN_CONFIG_SIZE_MAX);
    }
    struct tn_str yaml = source->yaml.data != NULL ? source->yaml : TN_STR_OF("");
    enum tn_err err = check_tokens(yaml, source->name, fault);
    if (err < 0) {
        return err;
    }
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
        return tn_fault_set(fault, TN_NOMEM, "%s: no memory", source->name);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.data, yaml.size);
    yaml_document_t document;
    if (yaml_parser_load(&parser, &document) == 0) {
        err = parse_failed(&parser, source->name, fault);
    } else {
        struct tn_fault own = {0};
        struct reader reader = {.document = &document,
                                .file = source->name,
                                .given = given,
                                .fault = fault != NULL ? fault : &own,
                                .nodes_left = NODES_MAX};
        bool empty = yaml_document_get_root_node(&document) == NULL;
        err = read_document(&reader, source, table, target);
        if (err == TN_OK && !empty) {
            err = expect_end(&parser, source->name, fault);
        }
        yaml_document_delete(&document);
    }
    yaml_parser_delete(&parser);
    return err;
}

enum tn_err tn_config_read_all(struct tn_str yaml, const char *name,
                               const struct tn_option_table *table, void *target,
                               struct tn_option_given *given, struct tn_fault *fault)
{
    enum tn_err err = tn_option_set_defaults(table, target, given->arena);
    if (err < 0) {
        return tn_fault_set(fault, err, "%s: no memory", name);
    }
    const struct tn_config_source source = {.yaml = yaml, .name = name};
    err = tn_config_read(&source, table, target, given, fault);
    if (err < 0) {
        return err;
    }
    err = tn_option_check_required(table, target, given, TN_OPTION_AS_KEY, fault);
    if (err < 0) {
        tn_fault_wrap(fault, "%s", name);
    }
    return err;
}
