/* `tenon completion SHELL`: prints a completion script, made from the tables of all commands. */
#include "base/manual.h"
#include "cmd/command.h"

#include <stdio.h>
#include <sysexits.h>

struct options {
    const char *shell;
};

static const struct tn_option rows[] = {
    {.name = "shell",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct options, shell),
     .value = "bash|zsh|fish",
     .required = true,
     .positional = true,
     .help = "the shell to complete in"},
};
static const struct tn_option_table table = TN_OPTION_TABLE(struct options, rows);

static const struct tn_args_example examples[] = {
    {"source <(tenon completion bash)", "in this shell"},
    {"tenon completion fish > ~/.config/fish/completions/tenon.fish", "for good"},
    {NULL, NULL},
};

static const struct tn_args_command command = {
    .name = "completion",
    .summary = "print a completion script for a shell",
    .options = &table,
    .examples = examples,
    .no_config = true,
};

static int run(const void *given, struct tn_arena *arena)
{
    (void)arena;
    const struct options *options = given;
    const struct tn_args_command *list[TN_COMMANDS_MAX];
    size_t count = tn_command_list(list);
    struct tn_buf script;
    tn_buf_init(&script, 0);
    int code = EX_OK;
    if (tn_manual_completion(options->shell, "tenon", list, count, &script) != TN_OK) {
        fprintf(stderr, "tenon completion: no script for '%s'; there are bash, zsh and fish\n",
                options->shell);
        code = EX_USAGE;
    } else if (fwrite(script.data, 1, script.size, stdout) != script.size) {
        code = EX_IOERR;
    }
    tn_buf_deinit(&script);
    return code;
}

const struct tn_command tn_cmd_completion = {
    .args = &command,
    .options_size = sizeof(struct options),
    .run = run,
};
