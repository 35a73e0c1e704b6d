/* Values as YAML, by table; see config.h. Block style, two columns a level; a text that another
 * reader could take for something else is quoted. Memory: the caller's buffer. Threads: one at a
 * time. */
#include "base/config.h"
#include "core/assert.h"
#include "core/utf8.h"

enum { INDENT = 2 };

static void put_indent(struct tn_buf *out, unsigned level)
{
    for (unsigned i = 0; i < level * INDENT; i++) {
        tn_buf_put_byte(out, ' ');
    }
}

/* A word that every YAML reader takes for a text: begins with a letter, '/' or '.', and is no
 * boolean, null or number in any version of the language. */
static bool is_plain(struct tn_str text)
{
    static const char *const typed[] = {"true", "false", "null", "yes", "no",   "on",  "off",
                                        "y",    "n",     "inf",  "nan", ".inf", ".nan"};
    if (text.size == 0 || text.size > 200) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/';
        bool inner = (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
        if (!letter && !(inner && i > 0)) {
            return false;
        }
    }
    for (size_t i = 0; i < TN_COUNT(typed); i++) {
        if (text.size == strlen(typed[i]) && strncasecmp(text.data, typed[i], text.size) == 0) {
            return false;
        }
    }
    return true;
}

static void put_quoted(struct tn_buf *out, struct tn_str text)
{
    tn_buf_put_byte(out, '"');
    for (size_t at = 0; at < text.size;) {
        uint8_t byte = (uint8_t)text.data[at];
        size_t length = tn_utf8_sequence_size((const uint8_t *)text.data + at, text.size - at);
        if (byte == '"' || byte == '\\') {
            tn_buf_printf(out, "\\%c", byte);
        } else if (length > 1 && !(length == 2 && byte == 0xC2) && byte != 0xE2 && byte != 0xEF) {
            tn_buf_put(out, text.data + at, length);
        } else if (length > 1) {
            /* Line separators, the byte-order mark, C1: some readers fold or refuse them. */
            uint32_t point = length == 2 ? byte & 0x1Fu : byte & 0x0Fu;
            for (size_t i = 1; i < length; i++) {
                point = point << 6 | ((uint8_t)text.data[at + i] & 0x3Fu);
            }
            tn_buf_printf(out, "\\u%04X", (unsigned)point);
        } else if (byte < 0x20 || byte >= 0x7F) {
            tn_buf_printf(out, "\\x%02X", byte);
        } else {
            tn_buf_put_byte(out, byte);
        }
        at += length > 0 ? length : 1;
    }
    tn_buf_put_byte(out, '"');
}

static void put_text(struct tn_buf *out, struct tn_str text)
{
    if (is_plain(text)) {
        tn_buf_put_str(out, text);
    } else {
        put_quoted(out, text);
    }
}

static void put_scalar(struct tn_buf *out, const struct tn_option *option, const void *field)
{
    if (option->kind != TN_OPTION_TEXT) {
        tn_option_print(option, field, out);
    } else {
        put_text(out, tn_str_from(*(const char *const *)field));
    }
}

static void put_table(struct tn_buf *out, const struct tn_option_table *table, const void *target,
                      unsigned level, bool comments);
static void put_value(struct tn_buf *out, const struct tn_option *option, const void *field,
                      unsigned level, bool comments);

static void put_list(struct tn_buf *out, const struct tn_option *option,
                     const struct tn_option_list *list, unsigned level)
{
    const struct tn_option *element = tn_option_element(option);
    tn_buf_put_text(out, list->count == 0 ? " []\n" : "\n");
    for (size_t i = 0; i < list->count; i++) {
        put_indent(out, level);
        tn_buf_put_byte(out, '-');
        put_value(out, element, (const uint8_t *)list->items + i * element->size, level + 1, false);
    }
}

static void put_map(struct tn_buf *out, const struct tn_option *option,
                    const struct tn_option_map *map, unsigned level)
{
    const struct tn_option *element = tn_option_element(option);
    tn_buf_put_text(out, map->count == 0 ? " {}\n" : "\n");
    for (size_t i = 0; i < map->count; i++) {
        put_indent(out, level);
        put_text(out, tn_str_from(map->names[i]));
        tn_buf_put_byte(out, ':');
        put_value(out, element, (const uint8_t *)map->items + i * element->size, level + 1, false);
    }
}

/* What follows "key:" or "-", with its line end. */
static void put_value(struct tn_buf *out, const struct tn_option *option, const void *field,
                      unsigned level, bool comments)
{
    TN_ASSERT(level < 64);
    if (option->secret) {
        tn_buf_put_text(out, " \"***\"\n");
        return;
    }
    switch (option->kind) {
    case TN_OPTION_STRUCT:
        if (option->table->count == 0) {
            tn_buf_put_text(out, " {}\n");
            return;
        }
        tn_buf_put_byte(out, '\n');
        put_table(out, option->table, field, level, comments);
        return;
    case TN_OPTION_LIST:
        put_list(out, option, field, level);
        return;
    case TN_OPTION_MAP:
        put_map(out, option, field, level);
        return;
    default:
        tn_buf_put_byte(out, ' ');
        put_scalar(out, option, field);
        tn_buf_put_byte(out, '\n');
    }
}

/* A text that nobody set, or an optional struct without its required parts, has no YAML form. */
static bool is_unset(const struct tn_option *option, const void *field)
{
    if (option->kind == TN_OPTION_STRUCT) {
        for (size_t i = 0; i < option->table->count; i++) {
            const struct tn_option *inner = &option->table->options[i];
            if (inner->required && is_unset(inner, (const uint8_t *)field + inner->offset)) {
                return true;
            }
        }
        return false;
    }
    return option->kind == TN_OPTION_TEXT && *(const char *const *)field == NULL;
}

static void put_table(struct tn_buf *out, const struct tn_option_table *table, const void *target,
                      unsigned level, bool comments)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct tn_option *option = &table->options[i];
        const void *field = (const uint8_t *)target + option->offset;
        if (option->flag_only) {
            continue;
        }
        if (comments && option->help != NULL) {
            put_indent(out, level);
            tn_buf_printf(out, "# %s\n", option->help);
        }
        put_indent(out, level);
        if (is_unset(option, field)) {
            tn_buf_printf(out, "# %s: not set\n", option->name);
            continue;
        }
        tn_buf_printf(out, "%s:", option->name);
        put_value(out, option, field, level + 1, comments);
    }
}

void tn_config_print(const struct tn_option_table *table, const void *target,
                     const struct tn_config_print *how, struct tn_buf *out)
{
    if (how->section != NULL) {
        tn_buf_printf(out, "%s:\n", how->section);
    }
    put_table(out, table, target, how->section != NULL ? 1 : 0, how->comments);
}
