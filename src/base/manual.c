/* Help texts and the configuration reference; see manual.h. Memory: the caller's buffer. */
#include "base/manual.h"

#include "base/flags.h"
#include "core/assert.h"

#include <stdio.h>

enum { WIDTH_DEFAULT = 80, HELP_COLUMN = 28 };

/* Writes words of `text` from `column` on, breaking lines before `width`; returns the column. */
static unsigned put_wrapped(struct tn_buf *out, struct tn_str text, unsigned indent,
                            unsigned column, unsigned width)
{
    for (size_t at = 0; at < text.size;) {
        size_t end = at;
        while (end < text.size && text.data[end] != ' ' && text.data[end] != '\n') {
            end++;
        }
        unsigned size = (unsigned)(end - at);
        if (size > 0 && column > indent && column + 1 + size > width) {
            tn_buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (size > 0 && column > indent) {
            tn_buf_put_byte(out, ' ');
            column++;
        }
        tn_buf_put(out, text.data + at, size);
        column += size;
        if (end + 1 < text.size && text.data[end] == '\n' && text.data[end + 1] == '\n') {
            tn_buf_printf(out, "\n\n%*s", (int)indent, "");
            column = indent;
        }
        at = end + 1;
    }
    return column;
}

/* "help (default 8000)", with the choices of an enum. */
static void describe(const struct tn_option *option, struct tn_buf *out)
{
    tn_buf_put_text(out, option->help);
    const struct tn_option *value =
        tn_option_is_scalar(option) ? option : tn_option_element(option);
    if (value->kind == TN_OPTION_ENUM) {
        tn_buf_put_text(out, ": ");
        tn_option_print_expected(value, out);
    }
    bool repeated = option->kind == TN_OPTION_LIST || option->kind == TN_OPTION_MAP;
    if (repeated && !option->positional) {
        tn_buf_put_text(out, "; may be repeated");
    }
    if (option->required) {
        tn_buf_put_text(out, " (required)");
    } else if (option->fallback != NULL && option->fallback[0] != '\0') {
        tn_buf_printf(out, " (default %s)", option->fallback);
    }
}

/* "  -p, --http-port=N", then the text beside or below it. */
static void put_row(struct tn_buf *out, struct tn_str left, struct tn_str right, unsigned width)
{
    tn_buf_put_text(out, "  ");
    tn_buf_put_str(out, left);
    unsigned column = (unsigned)left.size + 2;
    if (column + 2 > HELP_COLUMN) {
        tn_buf_put_byte(out, '\n');
        column = 0;
    }
    tn_buf_printf(out, "%*s", (int)(HELP_COLUMN - column), "");
    put_wrapped(out, right, HELP_COLUMN, HELP_COLUMN, width);
    tn_buf_put_byte(out, '\n');
}

static void put_flag_form(const struct tn_flag *flag, struct tn_buf *out)
{
    const struct tn_option *option = flag->option;
    if (option->letter != 0) {
        tn_buf_printf(out, "-%c, ", option->letter);
    } else {
        tn_buf_put_text(out, "    ");
    }
    bool on_by_default = option->kind == TN_OPTION_BOOL && option->fallback != NULL &&
                         strcmp(option->fallback, "true") == 0;
    tn_buf_printf(out, "--%s%s", on_by_default ? "[no-]" : "", flag->name);
    if (option->kind != TN_OPTION_BOOL) {
        tn_buf_printf(out, "=%s", tn_flag_value_name(option));
    }
}

static void put_flag(struct tn_buf *out, const struct tn_flag *flag, unsigned width)
{
    struct tn_buf left = {0};
    struct tn_buf right = {0};
    put_flag_form(flag, &left);
    describe(flag->option, &right);
    put_row(out, tn_buf_str(&left), tn_buf_str(&right), width);
    tn_buf_deinit(&left);
    tn_buf_deinit(&right);
}

static void put_usage(struct tn_buf *out, const char *program,
                      const struct tn_args_command *command, const struct tn_flags *flags)
{
    tn_buf_printf(out, "usage: %s %s [options]", program, command->name);
    for (size_t i = 0; i < flags->count; i++) {
        const struct tn_option *option = flags->items[i].option;
        if (option->positional) {
            tn_buf_printf(out, " %s%s%s%s", option->required ? "" : "[", tn_flag_value_name(option),
                          option->kind == TN_OPTION_LIST ? "..." : "", option->required ? "" : "]");
        }
    }
    tn_buf_put_text(out, "\n");
}

static void put_options(struct tn_buf *out, const struct tn_args_command *command,
                        const struct tn_flags *flags, unsigned width)
{
    bool arguments = false;
    for (size_t i = 0; i < flags->count; i++) {
        const struct tn_option *option = flags->items[i].option;
        if (option->positional) {
            struct tn_buf right = {0};
            tn_buf_put_text(out, arguments ? "" : "\narguments:\n");
            arguments = true;
            describe(option, &right);
            put_row(out, tn_str_from(tn_flag_value_name(option)), tn_buf_str(&right), width);
            tn_buf_deinit(&right);
        }
    }
    tn_buf_put_text(out, "\noptions:\n");
    for (size_t i = 0; i < flags->count; i++) {
        if (flags->items[i].name[0] != '\0' && !flags->items[i].option->positional) {
            put_flag(out, &flags->items[i], width);
        }
    }
    if (!command->no_config && command->options != NULL) {
        put_row(out, TN_STR_OF("    --config=FILE"),
                TN_STR_OF("read these settings from a YAML file first; flags win"), width);
        put_row(out, TN_STR_OF("    --print-config"),
                TN_STR_OF("print the settings that would be used, as YAML, and exit"), width);
    }
    put_row(out, TN_STR_OF("-h, --help"), TN_STR_OF("print this text and exit"), width);
}

void tn_manual_help(const char *program, const struct tn_args_command *command, unsigned width,
                    struct tn_buf *out)
{
    struct tn_flags flags;
    tn_flags_collect(&flags, command->options);
    width = width == 0 ? WIDTH_DEFAULT : width < HELP_COLUMN + 20 ? HELP_COLUMN + 20 : width;
    tn_buf_printf(out, "%s %s: %s\n\n", program, command->name, command->summary);
    put_usage(out, program, command, &flags);
    if (command->description != NULL) {
        tn_buf_put_text(out, "\n");
        put_wrapped(out, tn_str_from(command->description), 0, 0, width);
        tn_buf_put_text(out, "\n");
    }
    put_options(out, command, &flags, width);
    const struct tn_args_example *example = command->examples;
    if (example != NULL && example->line != NULL) {
        tn_buf_put_text(out, "\nexamples:\n");
        for (; example->line != NULL; example++) {
            tn_buf_printf(out, "  # %s\n  %s\n", example->what, example->line);
        }
    }
}

void tn_manual_overview(const char *program, const char *summary,
                        const struct tn_args_command *const *commands, size_t count,
                        struct tn_buf *out)
{
    tn_buf_printf(out, "%s: %s\n\nusage: %s COMMAND [options]\n\ncommands:\n", program, summary,
                  program);
    size_t longest = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(commands[i]->name);
        longest = size > longest ? size : longest;
    }
    for (size_t i = 0; i < count; i++) {
        tn_buf_printf(out, "  %-*s  %s\n", (int)longest, commands[i]->name, commands[i]->summary);
    }
    tn_buf_printf(out, "\nSee %s COMMAND --help for the options of one.\n", program);
}

/* ---- the configuration reference ---- */

/* Text in a cell of a table: the bar would end it. */
static void put_cell(struct tn_buf *out, struct tn_str text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '|') {
            tn_buf_put_byte(out, '\\');
        }
        tn_buf_put_byte(out, (uint8_t)text.data[i]);
    }
}

static void put_kind(struct tn_buf *out, const struct tn_option *option)
{
    const struct tn_option *value = option;
    const char *around = "";
    if (option->kind == TN_OPTION_LIST || option->kind == TN_OPTION_MAP) {
        around = option->kind == TN_OPTION_LIST ? "list of: " : "map to: ";
        value = tn_option_element(option);
    }
    struct tn_buf text = {0};
    tn_buf_put_text(&text, around);
    tn_option_print_expected(value, &text);
    put_cell(out, tn_buf_str(&text));
    tn_buf_deinit(&text);
}

/* Where in the tree of tables a reference row is. */
struct branch {
    const char *prefix;           /* "tls.", "steps[]." */
    size_t base;                  /* offset in the outermost struct */
    const struct tn_flags *flags; /* NULL inside lists and maps, which have none */
};

static void put_reference_row(struct tn_buf *out, const struct tn_option *option,
                              const struct branch *branch)
{
    tn_buf_printf(out, "| `%s%s` | ", branch->prefix, option->name);
    for (size_t i = 0; branch->flags != NULL && i < branch->flags->count; i++) {
        const struct tn_flag *flag = &branch->flags->items[i];
        if (flag->offset == branch->base + option->offset && flag->option == option &&
            flag->name[0] != '\0') {
            tn_buf_printf(out, "`--%s`", flag->name);
        }
    }
    tn_buf_put_text(out, " | ");
    put_kind(out, option);
    if (option->fallback != NULL) {
        tn_buf_printf(out, " | `%s` | ", option->fallback);
    } else {
        tn_buf_put_text(out, option->required ? " | required | " : " | | ");
    }
    put_cell(out, tn_str_from(option->help));
    tn_buf_put_text(out, " |\n");
}

static void put_reference(struct tn_buf *out, const struct tn_option_table *table,
                          const struct branch *branch)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct tn_option *option = &table->options[i];
        if (option->flag_only) {
            continue;
        }
        put_reference_row(out, option, branch);
        bool list = option->kind == TN_OPTION_LIST;
        bool many = list || option->kind == TN_OPTION_MAP;
        const struct tn_option *inner = many ? tn_option_element(option) : option;
        if (inner->kind != TN_OPTION_STRUCT) {
            continue;
        }
        char prefix[200];
        int size = snprintf(prefix, sizeof(prefix), "%s%s%s", branch->prefix, option->name,
                            !many  ? "."
                            : list ? "[]."
                                   : ".NAME.");
        TN_ASSERT(size > 0 && (size_t)size < sizeof(prefix));
        put_reference(out, inner->table,
                      &(struct branch){.prefix = prefix,
                                       .base = branch->base + option->offset,
                                       .flags = many ? NULL : branch->flags});
    }
}

void tn_manual_reference(const struct tn_args_command *command, struct tn_buf *out)
{
    struct tn_flags flags;
    tn_flags_collect(&flags, command->options);
    tn_buf_printf(out, "## `%s`: %s\n\n", command->name, command->summary);
    if (command->options != NULL) {
        tn_buf_put_text(out, "| key | flag | value | default | meaning |\n|---|---|---|---|---|\n");
        put_reference(out, command->options, &(struct branch){.prefix = "", .flags = &flags});
    }
}
