/* `tenon man`: writes a manual page, or the reference of a command's configuration, from the same
 * tables as --help. */
#include "base/manual.h"
#include "cmd/command.h"
#include "cmd/version.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

struct options {
    const char *name;
    bool markdown;
};

static const struct tn_option rows[] = {
    {.name = "name",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct options, name),
     .value = "COMMAND",
     .required = true,
     .positional = true,
     .help = "the command to document"},
    {.name = "markdown",
     .kind = TN_OPTION_BOOL,
     TN_OPTION_AT(struct options, markdown),
     .help = "the configuration reference as Markdown instead of a manual page"},
};
static const struct tn_option_table table = TN_OPTION_TABLE(struct options, rows);

static const struct tn_args_example examples[] = {
    {"tenon man serve | man -l -", "read it"},
    {"tenon man serve > /usr/share/man/man1/tenon-serve.1", "install it"},
    {NULL, NULL},
};

static const struct tn_args_command command = {
    .name = "man",
    .summary = "print the manual page of a command",
    .options = &table,
    .examples = examples,
    .no_config = true,
};

static int run(const void *given, struct tn_arena *arena)
{
    (void)arena;
    const struct options *options = given;
    const struct tn_command *found = tn_command_find(options->name);
    if (found == NULL) {
        fprintf(stderr, "tenon man: there is no command '%s'\n", options->name);
        return EX_USAGE;
    }
    struct tn_buf text;
    tn_buf_init(&text, 0);
    if (options->markdown) {
        tn_manual_reference(found->args, &text);
    } else {
        struct tn_manual_page page = {
            .program = "tenon", .version = TN_VERSION, .date = TN_VERSION_DATE};
        tn_manual_page(&page, found->args, &text);
    }
    bool whole = text.failed == TN_OK && fwrite(text.data, 1, text.size, stdout) == text.size;
    tn_buf_deinit(&text);
    return whole ? EX_OK : EX_IOERR;
}

const struct tn_command tn_cmd_man = {
    .args = &command,
    .options_size = sizeof(struct options),
    .run = run,
};
