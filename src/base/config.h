/* YAML into declared tables (base/option.h), and the effective configuration out again.
 *
 * One file may hold a section per subcommand:
 *     serve:                            "house.yaml:3:5: unknown key 'htp_port' in serve; did you
 *       http_port: 8000                  mean 'http_port'?"
 *       htp_port: 8000
 * Unknown keys, doubled keys, wrong types and values out of bounds are errors that name file, line
 * and column and say what was expected. Numbers, sizes and durations may be quoted or not; texts
 * are taken as written ("1.20" stays "1.20"). Aliases work, within a bound on what they unfold to.
 * Memory: texts and lists in the caller's arena; libyaml's tree on the heap during the read.
 * Threads: any, one at a time per target. Bounds: TN_CONFIG_SIZE_MAX bytes, 64 levels, 100,000
 * values.
 */
#ifndef TN_BASE_CONFIG_H
#define TN_BASE_CONFIG_H

#include "base/option.h"

enum { TN_CONFIG_SIZE_MAX = 1 << 20 };

struct tn_config_source {
    struct tn_str yaml;
    const char *name;    /* of the file, for messages */
    const char *section; /* top-level key to read; NULL: the document is the table */
    const char *const
        *sections; /* all that may appear beside it, NULL at the end; others are errors */
};

/* Reads over what `target` holds: set defaults first. An absent section changes nothing. Required
 * keys of nested tables are checked here, those of the outermost by tn_option_check_required after
 * the flags. On failure `target` is half-written. TN_INVALID, TN_LIMIT, TN_NOMEM. */
TN_MUST enum tn_err tn_config_read(const struct tn_config_source *source,
                                   const struct tn_option_table *table, void *target,
                                   struct tn_option_given *given, struct tn_fault *fault);

/* The whole of a small file like model.yaml: defaults, the document, required keys. */
TN_MUST enum tn_err tn_config_read_all(struct tn_str yaml, const char *name,
                                       const struct tn_option_table *table, void *target,
                                       struct tn_option_given *given, struct tn_fault *fault);

/* Writes the values as YAML that tn_config_read reads back to the same. `section` (may be NULL)
 * goes around them; with `comments`, each key's help precedes it. Secrets are "***". */
struct tn_config_print {
    const char *section;
    bool comments;
};
void tn_config_print(const struct tn_option_table *table, const void *target,
                     const struct tn_config_print *how, struct tn_buf *out);

#endif
