/* What a person reads about a subcommand, all of it from its table: help, manual page,
 * configuration reference, shell completion. Pure but for the growing buffer. Threads: any. */
#ifndef TN_BASE_MANUAL_H
#define TN_BASE_MANUAL_H

#include "base/args.h"

/* "tenon serve --help": usage, description, options with defaults, examples; wrapped to `width`
 * columns (0: 80). */
void tn_manual_help(const char *program, const struct tn_args_command *command, unsigned width,
                    struct tn_buf *out);

/* The names and summaries of all subcommands: "tenon --help". */
void tn_manual_overview(const char *program, const char *summary,
                        const struct tn_args_command *const *commands, size_t count,
                        struct tn_buf *out);

/* roff for man(1), section 1: "tenon-serve.1"; `version` and `date` go into its foot. */
struct tn_manual_page {
    const char *program;
    const char *version;
    const char *date; /* "2026-11-23" */
};
void tn_manual_page(const struct tn_manual_page *page, const struct tn_args_command *command,
                    struct tn_buf *out);

/* Markdown: a table of every YAML key with flag, kind, default and help. */
void tn_manual_reference(const struct tn_args_command *command, struct tn_buf *out);

/* A completion script for `shell`: "bash", "zsh" or "fish"; TN_NOTFOUND for another. */
TN_MUST enum tn_err tn_manual_completion(const char *shell, const char *program,
                                         const struct tn_args_command *const *commands,
                                         size_t count, struct tn_buf *out);

#endif
