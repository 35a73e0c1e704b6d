/* Fields from text and back, by table; see option.h. Memory: the caller's arena. Threads: one at a
 * time. Bounds: those of the rows. */
#include "base/option.h"

#include "base/suggest.h"
#include "base/units.h"
#include "core/assert.h"

#include <stdarg.h>
#include <stdio.h>

static const struct tn_option text_element = {.kind = TN_OPTION_TEXT, .size = sizeof(char *)};

const struct tn_option *tn_option_element(const struct tn_option *option)
{
    return option->element != NULL ? option->element : &text_element;
}

bool tn_option_is_scalar(const struct tn_option *option)
{
    return option->kind < TN_OPTION_STRUCT;
}

/* ---- fields of any width ---- */

static void store(const struct tn_option *option, void *field, uint64_t bits)
{
    switch (option->size) {
    case 1:
        *(uint8_t *)field = (uint8_t)bits;
        break;
    case 2:
        *(uint16_t *)field = (uint16_t)bits;
        break;
    case 4:
        *(uint32_t *)field = (uint32_t)bits;
        break;
    case 8:
        *(uint64_t *)field = bits;
        break;
    default:
        TN_UNREACHABLE();
    }
}

static uint64_t load(const struct tn_option *option, const void *field)
{
    switch (option->size) {
    case 1:
        return *(const uint8_t *)field;
    case 2:
        return *(const uint16_t *)field;
    case 4:
        return *(const uint32_t *)field;
    case 8:
        return *(const uint64_t *)field;
    default:
        TN_UNREACHABLE();
    }
}

static int64_t load_signed(const struct tn_option *option, const void *field)
{
    unsigned shift = 64 - 8 * (unsigned)option->size;
    return (int64_t)(load(option, field) << shift) >> shift;
}

/* A row may give both bounds, the lower alone, or (where nothing is negative) the upper alone. */
static bool has_max(const struct tn_option *option)
{
    return option->max != 0 || option->min < 0;
}

static int64_t int_min(const struct tn_option *option)
{
    bool given = option->min != 0 || option->max != 0;
    return given ? option->min : INT64_MIN >> (64 - 8 * option->size);
}

static int64_t int_max(const struct tn_option *option)
{
    return has_max(option) ? option->max : INT64_MAX >> (64 - 8 * option->size);
}

static uint64_t uint_max(const struct tn_option *option)
{
    return has_max(option) ? (uint64_t)option->max : UINT64_MAX >> (64 - 8 * option->size);
}

/* ---- one value ---- */

static void print_quantity(const struct tn_option *option, uint64_t value, struct tn_buf *out)
{
    char text[TN_UNITS_TEXT_MAX];
    size_t size = option->kind == TN_OPTION_SIZE ? tn_units_print_size(text, value)
                                                 : tn_units_print_duration(text, value);
    tn_buf_put(out, text, size);
}

static bool is_quantity(const struct tn_option *option)
{
    return option->kind == TN_OPTION_SIZE || option->kind == TN_OPTION_DURATION;
}

static void print_range(const struct tn_option *option, struct tn_buf *out)
{
    if (option->kind == TN_OPTION_UINT) {
        tn_buf_printf(out, " from %llu to %llu", (unsigned long long)option->min,
                      (unsigned long long)uint_max(option));
    } else if (option->kind == TN_OPTION_INT) {
        tn_buf_printf(out, " from %lld to %lld", (long long)int_min(option),
                      (long long)int_max(option));
    } else if (option->kind == TN_OPTION_FLOAT && has_max(option)) {
        tn_buf_printf(out, " from %lld to %lld", (long long)option->min, (long long)option->max);
    } else if (option->kind == TN_OPTION_FLOAT && option->min != 0) {
        tn_buf_printf(out, " of at least %lld", (long long)option->min);
    } else if (is_quantity(option)) {
        tn_buf_put_text(out, option->min != 0 ? ", at least " : "");
        if (option->min != 0) {
            print_quantity(option, (uint64_t)option->min, out);
        }
        if (has_max(option)) {
            tn_buf_put_text(out, ", at most ");
            print_quantity(option, (uint64_t)option->max, out);
        }
    }
}

static size_t text_max(const struct tn_option *option)
{
    return option->count_max > 0 ? option->count_max : TN_OPTION_TEXT_DEFAULT;
}

void tn_option_print_expected(const struct tn_option *option, struct tn_buf *out)
{
    static const char *const words[] = {
        [TN_OPTION_BOOL] = "true or false",
        [TN_OPTION_INT] = "a whole number",
        [TN_OPTION_UINT] = "a whole number",
        [TN_OPTION_FLOAT] = "a number",
        [TN_OPTION_SIZE] = "a size like 64MiB or 4096",
        [TN_OPTION_DURATION] = "a duration like 250ms, 5s or 1h30m",
        [TN_OPTION_ENUM] = "one of ",
        [TN_OPTION_STRUCT] = "a mapping of names to values",
        [TN_OPTION_LIST] = "a list",
        [TN_OPTION_MAP] = "a mapping of names to values",
    };
    if (option->kind == TN_OPTION_TEXT) {
        tn_buf_printf(out, "text of at most %zu bytes", text_max(option));
        return;
    }
    tn_buf_put_text(out, words[option->kind]);
    if (option->kind == TN_OPTION_ENUM) {
        for (const struct tn_option_choice *choice = option->choices; choice->name != NULL;
             choice++) {
            tn_buf_printf(out, "%s%s", choice == option->choices ? "" : ", ", choice->name);
        }
    }
    if (tn_option_is_scalar(option)) {
        print_range(option, out);
    }
}

static enum tn_err refuse(const struct tn_option *option, struct tn_str text, const char *nearest,
                          struct tn_fault *fault)
{
    struct tn_buf expected;
    tn_buf_init(&expected, TN_FAULT_TEXT_MAX);
    tn_option_print_expected(option, &expected);
    int shown = text.size > 80 ? 80 : (int)text.size;
    tn_fault_set(fault, TN_INVALID, "expected %.*s, found '%.*s%s'%s%s%s",
                 TN_STR_ARG(tn_buf_str(&expected)), shown, text.data != NULL ? text.data : "",
                 text.size > 80 ? "..." : "", nearest != NULL ? "; did you mean '" : "",
                 nearest != NULL ? nearest : "", nearest != NULL ? "'?" : "");
    tn_buf_deinit(&expected);
    return TN_INVALID;
}

static enum tn_err set_number(const struct tn_option *option, void *field, struct tn_str text)
{
    uint64_t value = 0;
    enum tn_err err = TN_INVALID;
    if (option->kind == TN_OPTION_INT) {
        int64_t number = 0;
        err = tn_units_parse_int(text, &number);
        if (err == TN_OK && (number < int_min(option) || number > int_max(option))) {
            err = TN_LIMIT;
        }
        value = (uint64_t)number;
    } else {
        err = option->kind == TN_OPTION_UINT   ? tn_units_parse_uint(text, &value)
              : option->kind == TN_OPTION_SIZE ? tn_units_parse_size(text, &value)
                                               : tn_units_parse_duration(text, &value);
        if (err == TN_OK && (value < (uint64_t)option->min || value > uint_max(option))) {
            err = TN_LIMIT;
        }
    }
    if (err == TN_OK) {
        store(option, field, value);
    }
    return err;
}

static enum tn_err set_float(const struct tn_option *option, void *field, struct tn_str text)
{
    double value = 0;
    enum tn_err err = tn_units_parse_float(text, &value);
    bool above = has_max(option) && value > (double)option->max;
    bool below = (has_max(option) || option->min != 0) && value < (double)option->min;
    if (err == TN_OK && (above || below)) {
        err = TN_LIMIT;
    }
    if (err == TN_OK) {
        *(double *)field = value;
    }
    return err;
}

static enum tn_err set_enum(const struct tn_option *option, void *field, struct tn_str text,
                            const char **ret_nearest)
{
    struct tn_suggest suggest;
    tn_suggest_init(&suggest, text);
    for (const struct tn_option_choice *choice = option->choices; choice->name != NULL; choice++) {
        if (tn_str_is(text, choice->name)) {
            store(option, field, (uint64_t)(int64_t)choice->value);
            return TN_OK;
        }
        tn_suggest_offer(&suggest, choice->name);
    }
    *ret_nearest = suggest.best;
    return TN_INVALID;
}

static enum tn_err set_text(const struct tn_option *option, void *field, struct tn_str text,
                            struct tn_arena *arena)
{
    if (text.size > text_max(option) ||
        (text.size > 0 && memchr(text.data, '\0', text.size) != NULL)) {
        return TN_INVALID;
    }
    const char *copy = tn_arena_copy_str(arena, text);
    if (copy == NULL) {
        return TN_NOMEM;
    }
    *(const char **)field = copy;
    return TN_OK;
}

static enum tn_err set_bool(void *field, struct tn_str text, const char **ret_nearest)
{
    bool yes = tn_str_is(text, "true");
    if (yes || tn_str_is(text, "false")) {
        *(bool *)field = yes;
        return TN_OK;
    }
    /* What other tools, and YAML 1.1, take for a boolean. */
    static const char *const others[] = {"yes", "no", "on", "off", "True", "False", "1", "0"};
    for (size_t i = 0; i < TN_COUNT(others); i++) {
        if (tn_str_is(text, others[i])) {
            *ret_nearest = i % 2 == 0 ? "true" : "false";
        }
    }
    return TN_INVALID;
}

enum tn_err tn_option_set(const struct tn_option *option, void *field, struct tn_str text,
                          struct tn_arena *arena, struct tn_fault *fault)
{
    const char *nearest = NULL;
    enum tn_err err = TN_INVALID;
    switch (option->kind) {
    case TN_OPTION_BOOL:
        err = set_bool(field, text, &nearest);
        break;
    case TN_OPTION_INT:
    case TN_OPTION_UINT:
    case TN_OPTION_SIZE:
    case TN_OPTION_DURATION:
        err = set_number(option, field, text);
        break;
    case TN_OPTION_FLOAT:
        err = set_float(option, field, text);
        break;
    case TN_OPTION_TEXT:
        err = set_text(option, field, text, arena);
        break;
    case TN_OPTION_ENUM:
        err = set_enum(option, field, text, &nearest);
        break;
    case TN_OPTION_STRUCT:
    case TN_OPTION_LIST:
    case TN_OPTION_MAP:
        break;
    }
    if (err == TN_NOMEM) {
        return tn_fault_set(fault, TN_NOMEM, "no memory");
    }
    return err < 0 ? refuse(option, text, nearest, fault) : TN_OK;
}

void tn_option_print(const struct tn_option *option, const void *field, struct tn_buf *out)
{
    char number[TN_UNITS_TEXT_MAX];
    switch (option->kind) {
    case TN_OPTION_BOOL:
        tn_buf_put_text(out, *(const bool *)field ? "true" : "false");
        break;
    case TN_OPTION_INT:
        tn_buf_printf(out, "%lld", (long long)load_signed(option, field));
        break;
    case TN_OPTION_UINT:
        tn_buf_printf(out, "%llu", (unsigned long long)load(option, field));
        break;
    case TN_OPTION_FLOAT:
        tn_buf_put(out, number, tn_units_print_float(number, *(const double *)field));
        break;
    case TN_OPTION_SIZE:
    case TN_OPTION_DURATION:
        print_quantity(option, load(option, field), out);
        break;
    case TN_OPTION_TEXT:
        tn_buf_put_str(out, tn_str_from(*(const char *const *)field));
        break;
    case TN_OPTION_ENUM:
        for (const struct tn_option_choice *choice = option->choices; choice->name != NULL;
             choice++) {
            if (choice->value == (int)load_signed(option, field)) {
                tn_buf_put_text(out, choice->name);
                return;
            }
        }
        break;
    case TN_OPTION_STRUCT:
    case TN_OPTION_LIST:
    case TN_OPTION_MAP:
        TN_UNREACHABLE();
    }
}

/* ---- lists and maps ---- */

/* `items` with one more, zeroed. Doubles, so the arena holds at most twice what is used. */
static void *one_more(void *items, size_t count, size_t size, struct tn_arena *arena)
{
    bool full = count == 0 || (count & (count - 1)) == 0; /* room is a power of two */
    if (full) {
        size_t room = count == 0 ? 1 : count * 2;
        uint8_t *wider = tn_arena_take_zeroed(arena, room, size, 16);
        if (wider == NULL) {
            return NULL;
        }
        if (count > 0) {
            memcpy(wider, items, count * size);
        }
        items = wider;
    }
    return items;
}

static enum tn_err append_name(struct tn_option_map *map, struct tn_str name,
                               struct tn_arena *arena)
{
    for (size_t i = 0; i < map->count; i++) {
        if (tn_str_is(name, map->names[i])) {
            return TN_EXISTS;
        }
    }
    const char *copy = tn_arena_copy_str(arena, name);
    void *names = one_more(map->names, map->count, sizeof(char *), arena);
    if (copy == NULL || names == NULL) {
        return TN_NOMEM;
    }
    map->names = names;
    map->names[map->count] = copy;
    return TN_OK;
}

enum tn_err tn_option_append(const struct tn_option *option, void *field, struct tn_str name,
                             struct tn_arena *arena, void **ret_element, struct tn_fault *fault)
{
    TN_ASSERT(option->kind == TN_OPTION_LIST || option->kind == TN_OPTION_MAP);
    TN_ASSERT(field != NULL);

    struct tn_option_map *map = option->kind == TN_OPTION_MAP ? field : NULL;
    struct tn_option_list *list = map == NULL ? field : NULL;
    size_t *count = map != NULL ? &map->count : &list->count;
    void **items = map != NULL ? &map->items : &list->items;
    size_t size = tn_option_element(option)->size;
    size_t most = option->count_max > 0 ? option->count_max : TN_OPTION_COUNT_DEFAULT;
    if (*count >= most) {
        return tn_fault_set(fault, TN_LIMIT, "more than %zu items", most);
    }
    enum tn_err err = map != NULL ? append_name(map, name, arena) : TN_OK;
    if (err == TN_EXISTS) {
        return tn_fault_set(fault, TN_EXISTS, "'%.*s' is there already", TN_STR_ARG(name));
    }
    void *wider = err == TN_OK ? one_more(*items, *count, size, arena) : NULL;
    if (wider == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory");
    }
    *items = wider;
    *ret_element = (uint8_t *)wider + *count * size;
    ++*count;
    return TN_OK;
}

/* ---- whole tables ---- */

static enum tn_err set_default(const struct tn_option *option, void *field, struct tn_arena *arena)
{
    if (option->kind == TN_OPTION_STRUCT) {
        return tn_option_set_defaults(option->table, field, arena);
    }
    if (option->fallback == NULL) {
        return TN_OK;
    }
    struct tn_fault fault = {0};
    enum tn_err err = tn_option_set(option, field, tn_str_from(option->fallback), arena, &fault);
    if (err == TN_INVALID) {
        fprintf(stderr, "tenon: default of option '%s': %s\n", option->name, fault.text);
        TN_ASSERT(err != TN_INVALID);
    }
    return err;
}

enum tn_err tn_option_set_defaults(const struct tn_option_table *table, void *target,
                                   struct tn_arena *arena)
{
    memset(target, 0, table->size);
    for (size_t i = 0; i < table->count; i++) {
        const struct tn_option *option = &table->options[i];
        enum tn_err err = set_default(option, (uint8_t *)target + option->offset, arena);
        if (err < 0) {
            return err;
        }
    }
    return TN_OK;
}

/* ---- what was given ---- */

struct tn_option_mark {
    struct tn_option_mark *older;
    const struct tn_option *option;
    const void *field;
    const char *origin;
    unsigned line, column;
};

void tn_option_given_init(struct tn_option_given *given, struct tn_arena *arena)
{
    *given = (struct tn_option_given){.arena = arena};
}

enum tn_err tn_option_given_add(struct tn_option_given *given, const struct tn_option *option,
                                const void *field, const char *origin, unsigned line,
                                unsigned column)
{
    struct tn_option_mark *mark = TN_ARENA_NEW(given->arena, struct tn_option_mark);
    if (mark == NULL) {
        return TN_NOMEM;
    }
    *mark = (struct tn_option_mark){.older = given->newest,
                                    .option = option,
                                    .field = field,
                                    .origin = origin,
                                    .line = line,
                                    .column = column};
    given->newest = mark;
    return TN_OK;
}

/* A struct and its first field share an address, so the kind tells them apart. */
static const struct tn_option_mark *find_mark(const struct tn_option_given *given,
                                              const void *field, bool whole_struct)
{
    const struct tn_option_mark *mark = given != NULL ? given->newest : NULL;
    while (mark != NULL &&
           (mark->field != field || (mark->option->kind == TN_OPTION_STRUCT) != whole_struct)) {
        mark = mark->older;
    }
    return mark;
}

bool tn_option_is_given(const struct tn_option_given *given, const void *field)
{
    return find_mark(given, field, false) != NULL;
}

bool tn_option_is_struct_given(const struct tn_option_given *given, const void *field)
{
    return find_mark(given, field, true) != NULL;
}

unsigned tn_option_given_line(const struct tn_option_given *given, const void *field)
{
    const struct tn_option_mark *mark = find_mark(given, field, false);
    return mark != NULL ? mark->line : 0;
}

enum tn_err tn_option_fault(const struct tn_option_given *given, const void *field,
                            struct tn_fault *fault, const char *format, ...)
{
    char text[TN_FAULT_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    const struct tn_option_mark *mark = find_mark(given, field, false);
    mark = mark != NULL ? mark : find_mark(given, field, true);
    if (mark == NULL) {
        return tn_fault_set(fault, TN_INVALID, "%s", text);
    }
    if (mark->line == 0) {
        return tn_fault_set(fault, TN_INVALID, "%s: %s", mark->origin, text);
    }
    return tn_fault_set(fault, TN_INVALID, "%s:%u:%u: %s", mark->origin, mark->line, mark->column,
                        text);
}

/* The nested names from the outside in, as "tls.cert" or "--tls-cert". */
static enum tn_err missing(const struct tn_option *const *path, size_t depth,
                           enum tn_option_form form, struct tn_fault *fault)
{
    char text[200] = "";
    size_t at = 0;
    const struct tn_option *last = path[depth - 1];
    if (form == TN_OPTION_AS_FLAG && last->positional) {
        return tn_fault_set(fault, TN_INVALID, "missing argument %s (%s)",
                            last->value != NULL ? last->value : last->name, last->help);
    }
    for (size_t i = 0; i < depth && at < sizeof(text); i++) {
        const char *between = i > 0 ? (form == TN_OPTION_AS_KEY ? "." : "-") : "";
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s", between, path[i]->name);
    }
    for (char *c = text; form == TN_OPTION_AS_FLAG && *c != '\0'; c++) {
        *c = *c == '_' ? '-' : *c;
    }
    return tn_fault_set(fault, TN_INVALID, "missing %s%s (%s)",
                        form == TN_OPTION_AS_FLAG ? "option --" : "key ", text, last->help);
}

static enum tn_err check_required(const struct tn_option_table *table, const void *target,
                                  const struct tn_option_given *given,
                                  const struct tn_option **path, size_t depth,
                                  enum tn_option_form form, struct tn_fault *fault)
{
    TN_ASSERT(depth < TN_OPTION_DEPTH_MAX);
    for (size_t i = 0; i < table->count; i++) {
        const struct tn_option *option = &table->options[i];
        const void *field = (const uint8_t *)target + option->offset;
        path[depth] = option;
        bool nested = option->kind == TN_OPTION_STRUCT;
        bool is_given = find_mark(given, field, nested) != NULL;
        if (option->required && !is_given) {
            return missing(path, depth + 1, form, fault);
        }
        if (nested && is_given) {
            enum tn_err err =
                check_required(option->table, field, given, path, depth + 1, form, fault);
            if (err < 0) {
                return err;
            }
        }
    }
    return TN_OK;
}

enum tn_err tn_option_check_required(const struct tn_option_table *table, const void *target,
                                     const struct tn_option_given *given, enum tn_option_form form,
                                     struct tn_fault *fault)
{
    const struct tn_option *path[TN_OPTION_DEPTH_MAX];
    return check_required(table, target, given, path, 0, form, fault);
}
