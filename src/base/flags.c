/* Flags of a table; see flags.h. Memory: the caller's. Threads: any. */
#include "base/flags.h"

#include "core/assert.h"

#include <stdio.h>

struct place {
    const char *prefix;
    size_t offset;
    size_t parents[TN_OPTION_DEPTH_MAX];
    const struct tn_option *parent_options[TN_OPTION_DEPTH_MAX];
    size_t depth;
};

/* A flag can carry one scalar, one item of a list of scalars, one name=scalar of a map. */
static bool fits_a_flag(const struct tn_option *option)
{
    return tn_option_is_scalar(option) ||
           (option->kind != TN_OPTION_STRUCT && tn_option_is_scalar(tn_option_element(option)));
}

static void name_flag(char *name, const struct place *place, const struct tn_option *option)
{
    int size = snprintf(name, TN_FLAG_NAME_MAX, "%s%s", place->prefix,
                        option->flag != NULL ? option->flag : option->name);
    TN_ASSERT(size > 0 && size < TN_FLAG_NAME_MAX);
    for (char *c = name; *c != '\0'; c++) {
        *c = *c == '_' ? '-' : *c;
    }
}

static void add_flag(struct tn_flags *flags, const struct place *place,
                     const struct tn_option *option)
{
    TN_ASSERT(flags->count < TN_FLAGS_MAX);
    struct tn_flag *flag = &flags->items[flags->count];
    *flag = (struct tn_flag){
        .option = option, .offset = place->offset + option->offset, .parent_count = place->depth};
    memcpy(flag->parents, place->parents, sizeof(flag->parents));
    memcpy(flag->parent_options, place->parent_options, sizeof(flag->parent_options));
    bool hidden = option->flag != NULL && option->flag[0] == '\0';
    if (!hidden) {
        name_flag(flag->name, place, option);
    }
    for (size_t i = 0; i < flags->count && !hidden; i++) {
        TN_ASSERT(strcmp(flags->items[i].name, flag->name) != 0);
    }
    flags->count += hidden && !option->positional ? 0 : 1;
}

static void collect(struct tn_flags *flags, const struct tn_option_table *table,
                    const struct place *place)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct tn_option *option = &table->options[i];
        if (option->kind != TN_OPTION_STRUCT) {
            if (fits_a_flag(option)) {
                add_flag(flags, place, option);
            }
            continue;
        }
        if (option->flag != NULL && option->flag[0] == '\0') {
            continue;
        }
        char prefix[TN_FLAG_NAME_MAX + 1];
        struct place inner = *place;
        name_flag(prefix, place, option);
        size_t length = strlen(prefix);
        TN_ASSERT(length + 1 < sizeof(prefix));
        memcpy(prefix + length, "-", 2);
        TN_ASSERT(inner.depth < TN_OPTION_DEPTH_MAX);
        inner.prefix = prefix;
        inner.offset += option->offset;
        inner.parent_options[inner.depth] = option;
        inner.parents[inner.depth++] = inner.offset;
        collect(flags, option->table, &inner);
    }
}

void tn_flags_collect(struct tn_flags *flags, const struct tn_option_table *table)
{
    flags->count = 0;
    if (table != NULL) {
        collect(flags, table, &(struct place){.prefix = ""});
    }
}

const char *tn_flag_value_name(const struct tn_option *option)
{
    static const char *const names[] = {
        [TN_OPTION_BOOL] = "true|false", [TN_OPTION_INT] = "N",
        [TN_OPTION_UINT] = "N",          [TN_OPTION_FLOAT] = "X",
        [TN_OPTION_SIZE] = "SIZE",       [TN_OPTION_DURATION] = "TIME",
        [TN_OPTION_TEXT] = "TEXT",       [TN_OPTION_ENUM] = "CHOICE",
        [TN_OPTION_STRUCT] = "",         [TN_OPTION_LIST] = "",
        [TN_OPTION_MAP] = "NAME=VALUE",
    };
    if (option->value != NULL) {
        return option->value;
    }
    return option->kind == TN_OPTION_LIST ? tn_flag_value_name(tn_option_element(option))
                                          : names[option->kind];
}
