/* Options declared once: a table per subcommand or file says what may be set, and the YAML key, the
 * command-line flag, the help text, the manual page and the shell completion all come from it.
 *
 *     struct serve_options { const char *models; uint16_t http_port; uint64_t drain_ns; };
 *     static const struct tn_option rows[] = {
 *         {.name = "models", .kind = TN_OPTION_TEXT, TN_OPTION_AT(struct serve_options, models),
 *          .value = "DIR", .required = true, .help = "model repository"},
 *         {.name = "http_port", .kind = TN_OPTION_UINT, TN_OPTION_AT(struct serve_options,
 * http_port), .fallback = "8000", .max = 65535, .help = "port of the HTTP front end"},
 *         {.name = "drain_time", .kind = TN_OPTION_DURATION,
 *          TN_OPTION_AT(struct serve_options, drain_ns), .fallback = "30s", .help = "..."},
 *     };
 *     const struct tn_option_table serve_table = TN_OPTION_TABLE(struct serve_options, rows);
 *
 * YAML `http_port: 80`, flag `--http-port=80`. Read with base/config.h and base/args.h.
 * Memory: texts, lists and maps lie in the caller's arena. Threads: one at a time.
 * Bounds: count_max of each list, map and text; TN_OPTION_DEPTH_MAX nested tables. */
#ifndef TN_BASE_OPTION_H
#define TN_BASE_OPTION_H

#include "base/buf.h"
#include "base/fault.h"
#include "core/arena.h"

/* What a field holds, and how it is written. */
enum tn_option_kind {
    TN_OPTION_BOOL,     /* bool: true, false */
    TN_OPTION_INT,      /* int8_t to int64_t: 42, -1, 0x2A */
    TN_OPTION_UINT,     /* uint8_t to uint64_t, size_t, unsigned */
    TN_OPTION_FLOAT,    /* double: 0.25, 1e-3 */
    TN_OPTION_SIZE,     /* uint64_t or size_t, bytes: 64MiB, 4096 */
    TN_OPTION_DURATION, /* uint64_t, nanoseconds: 250ms, 1h30m */
    TN_OPTION_TEXT,     /* const char *, terminated, no NUL inside */
    TN_OPTION_ENUM,     /* any enum: one of `choices` */
    TN_OPTION_STRUCT,   /* a struct of its own `table`, in place */
    TN_OPTION_LIST,     /* struct tn_option_list of `element` */
    TN_OPTION_MAP,      /* struct tn_option_map of `element`, by name, in the order written */
};

enum { TN_OPTION_DEPTH_MAX = 8, TN_OPTION_COUNT_DEFAULT = 1024, TN_OPTION_TEXT_DEFAULT = 4096 };

struct tn_option_list {
    void *items; /* of the element's type: const char **, uint16_t *, struct foo * */
    size_t count;
};

struct tn_option_map {
    const char **names;
    void *items;
    size_t count;
};

/* One name of an enum; a row with NULL ends them. */
struct tn_option_choice {
    const char *name;
    int value;
};

struct tn_option {
    const char *name; /* YAML key: lower case, digits, underscores */
    enum tn_option_kind kind;
    size_t offset; /* these two by TN_OPTION_AT */
    size_t size;
    const char *fallback; /* default, as a person would write it; NULL: zero, NULL, empty */
    const char *help;     /* starts lower case, no full stop */
    const char *value;    /* what help calls the value, "DIR"; NULL: by kind */
    const char *flag;     /* NULL: the name with '-'; "": YAML only */
    char letter;          /* short flag, 0: none */
    bool required;
    bool positional;  /* on the command line: the n-th argument; a list takes all that are left */
    bool flag_only;   /* not a YAML key: --check and its like */
    bool secret;      /* printed as "***" */
    int64_t min;      /* numbers, sizes, durations; both 0: all that the field holds */
    int64_t max;      /* 0 with min above 0: no upper bound but the field's */
    size_t count_max; /* items, or bytes of a text; 0: the defaults above */
    const struct tn_option_choice *choices; /* ENUM */
    const struct tn_option_table *table;    /* STRUCT */
    const struct tn_option *element;        /* LIST, MAP; NULL: text */
};

struct tn_option_table {
    const struct tn_option *options;
    size_t count;
    size_t size; /* of the struct they fill */
};

#define TN_OPTION_AT(type, member)                                                                 \
    .offset = __builtin_offsetof(type, member), .size = sizeof(((type *)0)->member)
#define TN_OPTION_TABLE(type, rows)                                                                \
    {                                                                                              \
        .options = (rows), .count = sizeof(rows) / sizeof((rows)[0]), .size = sizeof(type)         \
    }

/* Which fields somebody set, and where: for "required", for flags over YAML, and so that a check
 * made later can still name line and column. Zeroed: nothing yet. */
struct tn_option_given {
    struct tn_option_mark *newest;
    struct tn_arena *arena;
};

void tn_option_given_init(struct tn_option_given *given, struct tn_arena *arena);

/* `origin` (a file's name, a flag) is kept, not copied; line 0: no position. TN_NOMEM. */
TN_MUST enum tn_err tn_option_given_add(struct tn_option_given *given,
                                        const struct tn_option *option, const void *field,
                                        const char *origin, unsigned line, unsigned column);

/* Whether somebody set this field; the second form is for a nested struct as a whole, which has the
 * address of its first field. */
bool tn_option_is_given(const struct tn_option_given *given, const void *field);
bool tn_option_is_struct_given(const struct tn_option_given *given, const void *field);

/* The line of the latest mark of the field; 0 when it has none or was not given. */
unsigned tn_option_given_line(const struct tn_option_given *given, const void *field);

/* Fills `fault` with "origin:line:column: text" for a field that was given, with the plain text for
 * one that was not; returns TN_INVALID. For what a table cannot express. */
enum tn_err tn_option_fault(const struct tn_option_given *given, const void *field,
                            struct tn_fault *fault, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Zeroes `target` and sets every default. A default that does not parse is an assertion. TN_NOMEM.
 */
TN_MUST enum tn_err tn_option_set_defaults(const struct tn_option_table *table, void *target,
                                           struct tn_arena *arena);

/* Sets a field of a scalar kind from text. TN_INVALID ("expected a number from 1 to 65535, found
 * 'x'"), TN_NOMEM. */
TN_MUST enum tn_err tn_option_set(const struct tn_option *option, void *field, struct tn_str text,
                                  struct tn_arena *arena, struct tn_fault *fault);

/* Appends a zeroed element to a field of kind LIST or, with a copy of `name`, MAP. TN_LIMIT,
 * TN_EXISTS (the name is there), TN_NOMEM. */
TN_MUST enum tn_err tn_option_append(const struct tn_option *option, void *field,
                                     struct tn_str name, struct tn_arena *arena, void **ret_element,
                                     struct tn_fault *fault);

/* The required fields that nobody gave: TN_INVALID naming the first. Looks into nested structs, not
 * into lists. `form` says how names are written. */
enum tn_option_form { TN_OPTION_AS_KEY, TN_OPTION_AS_FLAG };
TN_MUST enum tn_err tn_option_check_required(const struct tn_option_table *table,
                                             const void *target,
                                             const struct tn_option_given *given,
                                             enum tn_option_form form, struct tn_fault *fault);

/* The text of a scalar field, as it would be written; "" for a NULL text. */
void tn_option_print(const struct tn_option *option, const void *field, struct tn_buf *out);

/* What values are allowed: "true or false", "a number from 1 to 65535", "one of a, b". */
void tn_option_print_expected(const struct tn_option *option, struct tn_buf *out);

/* The element option of a list or map. */
const struct tn_option *tn_option_element(const struct tn_option *option);

bool tn_option_is_scalar(const struct tn_option *option);

/* Asserts that the table is sound: sizes fit kinds, names and flags are unique, defaults parse.
 * For tests of the tables. */
void tn_option_table_check(const struct tn_option_table *table);

#endif
