/* A subcommand as `main` sees it, and the table of all of them.
 *
 * Each src/cmd/cmd_NAME.c defines one `const struct tn_command`; table.c lists them in the order
 * that help shows. main reads defaults, the configuration file and flags into a struct of
 * `options_size` bytes before it calls `run`. */
#ifndef TN_CMD_COMMAND_H
#define TN_CMD_COMMAND_H

#include "base/args.h"

struct tn_command {
    const struct tn_args_command *args; /* name, summary, flags, examples */
    size_t options_size;
    /* Returns the exit code of the program, of sysexits.h. Options lie in `arena`. */
    int (*run)(const void *options, struct tn_arena *arena);
};

/* Ends with NULL. */
extern const struct tn_command *const tn_commands[];

extern const struct tn_command tn_cmd_serve;
extern const struct tn_command tn_cmd_infer;
extern const struct tn_command tn_cmd_models;
extern const struct tn_command tn_cmd_bench;
extern const struct tn_command tn_cmd_config;
extern const struct tn_command tn_cmd_completion;
extern const struct tn_command tn_cmd_man;

/* NULL when there is none of that name. */
const struct tn_command *tn_command_find(const char *name);

enum { TN_COMMANDS_MAX = 32 };

/* What all of them say about themselves; returns how many. */
size_t tn_command_list(const struct tn_args_command *ret_list[TN_COMMANDS_MAX]);

/* The sections that a configuration file may have, NULL at the end. */
void tn_command_sections(const char *ret_names[TN_COMMANDS_MAX + 1]);

/* Prints "tenon NAME: text" on stderr and returns the exit code for it. */
int tn_command_fail(const char *name, const struct tn_fault *fault);

#endif
