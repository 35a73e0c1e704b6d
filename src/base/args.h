/* A subcommand's command line and configuration, by its table (base/option.h).
 *
 *   defaults  <-  section of the YAML file (--config)  <-  flags        the right wins
 *
 * Flags: --name=value, --name value, --switch, --no-switch, -n value, -nvalue, bundled -abc,
 * repeated for lists (the first one replaces what the file says), --label name=value for maps, "--"
 * ends them. Every command also has --help (-h) and, where it takes a table, --config FILE and
 * --print-config. Memory: the caller's arena. Threads: one at a time. */
#ifndef TN_BASE_ARGS_H
#define TN_BASE_ARGS_H

#include "base/option.h"

struct tn_args_example {
    const char *line; /* "tenon serve --models ./models"; NULL ends the table */
    const char *what; /* what it does */
};

/* What a subcommand says about itself; help, manual page and completion are made from it. */
struct tn_args_command {
    const char *name;                      /* "serve" */
    const char *summary;                   /* one line, lower case, no full stop */
    const char *description;               /* paragraphs, separated by an empty line; may be NULL */
    const struct tn_option_table *options; /* NULL: none */
    const struct tn_args_example *examples;
    bool no_config; /* without --config and --print-config */
};

enum tn_args_wish {
    TN_ARGS_RUN,
    TN_ARGS_HELP,         /* --help: print base/manual.h's text on stdout, exit 0 */
    TN_ARGS_PRINT_CONFIG, /* --print-config: print the effective configuration, exit 0 */
};

struct tn_args {
    enum tn_args_wish wish;
    const char *config; /* the file that was read, NULL: none */
    int exit_code;      /* after a failure: EX_USAGE, EX_CONFIG, EX_NOINPUT, EX_OSERR */
    struct tn_option_given given;
};

struct tn_args_input {
    const char *program; /* "tenon" */
    int count;           /* arguments after the subcommand's name */
    char *const *items;  /* they must outlive the options */
    /* Names of all sections a file may have, NULL at the end; others are errors. NULL: any. */
    const char *const *sections;
};

/* Fills `target` (the struct of command->options, may be NULL without) and `args`. With wish HELP
 * nothing else is looked at. On failure args->exit_code and `fault` say why; `target` is
 * half-written. TN_INVALID, TN_LIMIT, TN_NOTFOUND, TN_DENIED, TN_IO, TN_NOMEM. */
TN_MUST enum tn_err tn_args_read(const struct tn_args_command *command,
                                 const struct tn_args_input *input, void *target,
                                 struct tn_arena *arena, struct tn_args *args,
                                 struct tn_fault *fault);

/* The exit code of sysexits.h for a failure at run time; 0 for TN_OK. */
int tn_args_exit_code(enum tn_err err);

#endif
