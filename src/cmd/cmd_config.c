/* `tenon config`: checks a configuration file without starting anything. */
#include "base/config.h"
#include "base/file.h"
#include "cmd/command.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

struct options {
    const char *action;
    const char *file;
};

static const struct tn_option rows[] = {
    {.name = "action",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct options, action),
     .value = "check",
     .required = true,
     .positional = true,
     .help = "check: read the file as every subcommand would"},
    {.name = "file",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct options, file),
     .value = "FILE",
     .required = true,
     .positional = true,
     .help = "configuration file (YAML)"},
};
static const struct tn_option_table table = TN_OPTION_TABLE(struct options, rows);

static const struct tn_args_example examples[] = {
    {"tenon config check tenon.yaml", "errors name line and column"},
    {"tenon serve --config tenon.yaml --print-config", "what would be in force, flags included"},
    {NULL, NULL},
};

static const struct tn_args_command command = {
    .name = "config",
    .summary = "check a configuration file",
    .options = &table,
    .examples = examples,
    .no_config = true,
};

static enum tn_err check_section(const struct tn_command *of, struct tn_str yaml, const char *file,
                                 struct tn_arena *arena, struct tn_fault *fault)
{
    const char *sections[TN_COMMANDS_MAX + 1];
    tn_command_sections(sections);
    struct tn_config_source source = {
        .yaml = yaml, .name = file, .section = of->args->name, .sections = sections};
    struct tn_option_given given;
    tn_option_given_init(&given, arena);
    void *target = tn_arena_take_zeroed(arena, 1, of->options_size, 16);
    if (target == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the options of %s", of->args->name);
    }
    enum tn_err err = tn_option_set_defaults(of->args->options, target, arena);
    return err == TN_OK ? tn_config_read(&source, of->args->options, target, &given, fault)
                        : tn_fault_set(fault, err, "no memory for the defaults");
}

static int run(const void *given, struct tn_arena *arena)
{
    const struct options *options = given;
    struct tn_fault fault = {0};
    if (strcmp(options->action, "check") != 0) {
        (void)tn_fault_set(&fault, TN_INVALID, "'%s' is not an action; there is: check",
                           options->action);
        fprintf(stderr, "tenon config: %s\n", fault.text);
        return EX_USAGE;
    }
    struct tn_str yaml;
    if (tn_file_read_text(options->file, TN_CONFIG_SIZE_MAX, arena, &yaml, &fault) != TN_OK) {
        return tn_command_fail(command.name, &fault);
    }
    for (size_t i = 0; tn_commands[i] != NULL; i++) {
        if (tn_commands[i]->args->no_config) {
            continue;
        }
        if (check_section(tn_commands[i], yaml, options->file, arena, &fault) != TN_OK) {
            fprintf(stderr, "%s\n", fault.text);
            return EX_CONFIG;
        }
    }
    printf("%s: ok\n", options->file);
    return EX_OK;
}

const struct tn_command tn_cmd_config = {
    .args = &command,
    .options_size = sizeof(struct options),
    .run = run,
};
