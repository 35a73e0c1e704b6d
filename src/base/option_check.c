/* Is a table of options sound? A test of each table calls this, so that a wrong row stops the
 * build's tests and not a user. Every finding is an assertion. Memory: an arena of its own for the
 * defaults. Threads: any. */
#include "base/mem.h"
#include "base/option.h"
#include "core/assert.h"

static bool size_fits(const struct tn_option *option)
{
    switch (option->kind) {
    case TN_OPTION_BOOL:
        return option->size == sizeof(bool);
    case TN_OPTION_INT:
    case TN_OPTION_UINT:
        return option->size == 1 || option->size == 2 || option->size == 4 || option->size == 8;
    case TN_OPTION_FLOAT:
        return option->size == sizeof(double);
    case TN_OPTION_SIZE:
    case TN_OPTION_DURATION:
        return option->size == sizeof(uint64_t);
    case TN_OPTION_TEXT:
        return option->size == sizeof(char *);
    case TN_OPTION_ENUM:
        return option->size == sizeof(int);
    case TN_OPTION_STRUCT:
        return option->table != NULL && option->size == option->table->size;
    case TN_OPTION_LIST:
        return option->size == sizeof(struct tn_option_list);
    case TN_OPTION_MAP:
        return option->size == sizeof(struct tn_option_map);
    }
    return false;
}

static bool name_fits(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
    return size > 0 && name[size] == '\0' && strncmp(name, "no_", 3) != 0;
}

static void check_table(const struct tn_option_table *table, unsigned depth);

static void check_option(const struct tn_option *option, unsigned depth)
{
    TN_ASSERT(depth < TN_OPTION_DEPTH_MAX);
    TN_ASSERT(size_fits(option));
    TN_ASSERT(option->max >= option->min || (option->max == 0 && option->min > 0));
    TN_ASSERT(option->kind != TN_OPTION_ENUM || option->choices != NULL);
    if (option->kind == TN_OPTION_STRUCT) {
        check_table(option->table, depth + 1);
    }
    if (option->kind == TN_OPTION_LIST || option->kind == TN_OPTION_MAP) {
        check_option(tn_option_element(option), depth + 1);
    }
    TN_ASSERT(option->fallback == NULL || tn_option_is_scalar(option));
    TN_ASSERT(option->fallback == NULL || !option->required);
}

static void check_table(const struct tn_option_table *table, unsigned depth)
{
    bool list_seen = false;
    for (size_t i = 0; i < table->count; i++) {
        const struct tn_option *option = &table->options[i];
        TN_ASSERT(option->name != NULL && name_fits(option->name));
        TN_ASSERT(option->help != NULL && option->help[0] != '\0');
        TN_ASSERT(option->offset + option->size <= table->size);
        check_option(option, depth);
        TN_ASSERT(!option->positional || !list_seen); /* nothing follows a list that takes all */
        list_seen = list_seen || (option->positional && option->kind == TN_OPTION_LIST);
        for (size_t k = 0; k < i; k++) {
            TN_ASSERT(strcmp(option->name, table->options[k].name) != 0);
            TN_ASSERT(option->letter == 0 || option->letter != table->options[k].letter);
        }
    }
}

void tn_option_table_check(const struct tn_option_table *table)
{
    check_table(table, 0);
    struct tn_arena arena;
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    void *target = tn_arena_take(&arena, table->size, 16);
    if (target != NULL) {
        enum tn_err err = tn_option_set_defaults(table, target, &arena); /* asserts each */
        (void)err;
    }
    tn_arena_deinit(&arena);
}
