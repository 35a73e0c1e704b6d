/* The command line's side of a table of options: every flag it gives, nested structs flattened
 * (`tls: {cert: }` is --tls-cert). Used by base/args.h and base/manual.h, so that the parser, the
 * help and the completion know the same flags. Memory: the caller's. Bounds: TN_FLAGS_MAX. */
#ifndef TN_BASE_FLAGS_H
#define TN_BASE_FLAGS_H

#include "base/option.h"

enum { TN_FLAGS_MAX = 256, TN_FLAG_NAME_MAX = 64 };

struct tn_flag {
    const struct tn_option *option;
    size_t offset;                       /* of the field in the outermost struct */
    size_t parents[TN_OPTION_DEPTH_MAX]; /* offsets of the structs around it */
    const struct tn_option *parent_options[TN_OPTION_DEPTH_MAX];
    size_t parent_count;
    char name[TN_FLAG_NAME_MAX]; /* without "--"; "" for a pure positional */
};

struct tn_flags {
    struct tn_flag items[TN_FLAGS_MAX];
    size_t count;
};

/* Asserts that they fit and that no name comes twice. `table` may be NULL: no flags. */
void tn_flags_collect(struct tn_flags *flags, const struct tn_option_table *table);

/* What help calls the value: "DIR", "PORT", "true|false"; by kind when the row does not say. */
const char *tn_flag_value_name(const struct tn_option *option);

#endif
