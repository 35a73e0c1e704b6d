/* `tenon`: finds the subcommand, reads its options, runs it.
 *
 * Memory: options and all that a command takes for itself lie in one arena. Exit codes: sysexits.h.
 */
#include "base/config.h"
#include "base/manual.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "cmd/command.h"
#include "cmd/version.h"

#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static int print_text(struct tn_buf *text, FILE *out)
{
    bool whole = text->failed == TN_OK && fwrite(text->data, 1, text->size, out) == text->size &&
                 fflush(out) == 0;
    tn_buf_deinit(text);
    return whole ? EX_OK : EX_IOERR;
}

static int print_overview(FILE *out)
{
    const struct tn_args_command *list[TN_COMMANDS_MAX];
    size_t count = tn_command_list(list);
    struct tn_buf text;
    tn_buf_init(&text, 0);
    tn_manual_overview("tenon", "carries a trained model all the way: serve it, ask it, watch it",
                       list, count, &text);
    return print_text(&text, out);
}

static int unknown_command(const char *name)
{
    struct tn_suggest suggest;
    tn_suggest_init(&suggest, tn_str_from(name));
    for (size_t i = 0; tn_commands[i] != NULL; i++) {
        tn_suggest_offer(&suggest, tn_commands[i]->args->name);
    }
    fprintf(stderr, "tenon: there is no command '%s'", name);
    if (suggest.best != NULL) {
        fprintf(stderr, "; did you mean '%s'?\n", suggest.best);
    } else {
        fprintf(stderr, "; `tenon --help` lists them\n");
    }
    return EX_USAGE;
}

static int print_help(const struct tn_command *command)
{
    struct tn_buf text;
    tn_buf_init(&text, 0);
    tn_manual_help("tenon", command->args, 0, &text);
    return print_text(&text, stdout);
}

static int print_config(const struct tn_command *command, const void *options)
{
    struct tn_buf text;
    tn_buf_init(&text, 0);
    struct tn_config_print how = {.section = command->args->name, .comments = true};
    tn_config_print(command->args->options, options, &how, &text);
    return print_text(&text, stdout);
}

static int run_command(const struct tn_command *command, int count, char **items,
                       struct tn_arena *arena)
{
    struct tn_fault fault = {0};
    struct tn_args args = {0};
    void *options = tn_arena_take_zeroed(arena, 1, command->options_size + 1, 16);
    if (options == NULL) {
        (void)tn_fault_set(&fault, TN_NOMEM, "no memory for the options");
        return tn_command_fail(command->args->name, &fault);
    }
    const char *sections[TN_COMMANDS_MAX + 1];
    tn_command_sections(sections);
    struct tn_args_input input = {
        .program = "tenon", .count = count, .items = items, .sections = sections};
    if (tn_args_read(command->args, &input, options, arena, &args, &fault) != TN_OK) {
        fprintf(stderr, "tenon %s: %s\n", command->args->name, fault.text);
        return args.exit_code;
    }
    switch (args.wish) {
    case TN_ARGS_HELP:
        return print_help(command);
    case TN_ARGS_PRINT_CONFIG:
        return print_config(command, options);
    case TN_ARGS_RUN:
        break;
    }
    return command->run(options, arena);
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        const struct tn_command *command = argc > 2 ? tn_command_find(argv[2]) : NULL;
        if (command != NULL) {
            return print_help(command);
        }
        int code = print_overview(argc < 2 ? stderr : stdout);
        return argc < 2 ? EX_USAGE : code;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        puts("tenon " TN_VERSION);
        return EX_OK;
    }
    const struct tn_command *command = tn_command_find(argv[1]);
    if (command == NULL) {
        return unknown_command(argv[1]);
    }
    struct tn_arena arena;
    tn_arena_init(&arena,
                  &(struct tn_arena_options){.source = tn_mem_source(), .chunk_size = 64 * 1024});
    int code = run_command(command, argc - 2, argv + 2, &arena);
    tn_arena_deinit(&arena);
    return code;
}
