/* Command lines by table; see args.h.
 *
 * The arguments are walked twice: first without effect, for --help, --config and mistyped flags,
 * then, over what the file said, to set the fields. So both walks agree on which word is whose
 * value. Memory: the caller's arena; the flattened flags (some 40 KiB) on the stack. */
#include "base/args.h"

#include "base/config.h"
#include "base/file.h"
#include "base/flags.h"
#include "base/suggest.h"
#include "core/assert.h"

#include <sysexits.h>

enum own_flag { OWN_NONE, OWN_HELP, OWN_CONFIG, OWN_PRINT };

struct walk {
    const struct tn_args_command *command;
    const struct tn_args_input *input;
    struct tn_flags flags;
    bool dry; /* the first walk */
    void *target;
    struct tn_args *args;
    struct tn_fault *fault;
    int at;             /* next argument */
    size_t positionals; /* seen so far */
};

static enum tn_err usage(const struct walk *walk, enum tn_err err)
{
    walk->args->exit_code = err == TN_NOMEM ? EX_OSERR : EX_USAGE;
    return err;
}

/* ---- finding flags ---- */

static enum own_flag own_flag(const struct walk *walk, struct tn_str name)
{
    if (tn_str_is(name, "help")) {
        return OWN_HELP;
    }
    if (walk->command->no_config || walk->command->options == NULL) {
        return OWN_NONE;
    }
    return tn_str_is(name, "config")         ? OWN_CONFIG
           : tn_str_is(name, "print-config") ? OWN_PRINT
                                             : OWN_NONE;
}

static const struct tn_flag *find_flag(const struct walk *walk, struct tn_str name)
{
    for (size_t i = 0; i < walk->flags.count && name.size > 0; i++) {
        if (tn_str_is(name, walk->flags.items[i].name)) {
            return &walk->flags.items[i];
        }
    }
    return NULL;
}

static const struct tn_flag *find_letter(const struct walk *walk, char letter)
{
    for (size_t i = 0; i < walk->flags.count; i++) {
        if (walk->flags.items[i].option->letter == letter) {
            return &walk->flags.items[i];
        }
    }
    return NULL;
}

static enum tn_err unknown_flag(const struct walk *walk, struct tn_str name)
{
    struct tn_suggest suggest;
    tn_suggest_init(&suggest, name);
    tn_suggest_offer(&suggest, "help");
    if (!walk->command->no_config && walk->command->options != NULL) {
        tn_suggest_offer(&suggest, "config");
        tn_suggest_offer(&suggest, "print-config");
    }
    for (size_t i = 0; i < walk->flags.count; i++) {
        tn_suggest_offer(&suggest, walk->flags.items[i].name);
    }
    bool near = suggest.best != NULL;
    tn_fault_set(walk->fault, TN_INVALID, "unknown option '--%.*s'%s%s%s (see %s %s --help)",
                 name.size > 80 ? 80 : (int)name.size, name.data, near ? "; did you mean '--" : "",
                 near ? suggest.best : "", near ? "'?" : "", walk->input->program,
                 walk->command->name);
    return usage(walk, TN_INVALID);
}

/* ---- setting fields ---- */

static enum tn_err mark_given(const struct walk *walk, const struct tn_flag *flag,
                              const char *origin)
{
    const uint8_t *base = walk->target;
    struct tn_option_given *given = &walk->args->given;
    enum tn_err err = tn_option_given_add(given, flag->option, base + flag->offset, origin, 0, 0);
    for (size_t i = 0; i < flag->parent_count && err == TN_OK; i++) {
        err = tn_option_given_add(given, flag->parent_options[i], base + flag->parents[i], origin,
                                  0, 0);
    }
    return err;
}

static const char *origin_of(const struct walk *walk, const struct tn_flag *flag)
{
    char text[TN_FLAG_NAME_MAX + 4];
    struct tn_str form = tn_str_from(tn_flag_value_name(flag->option));
    if (flag->name[0] != '\0') {
        memcpy(text, "--", 2);
        memcpy(text + 2, flag->name, strlen(flag->name));
        form = tn_str_make(text, strlen(flag->name) + 2);
    }
    return tn_arena_copy_str(walk->args->given.arena, form);
}

/* One more item of a list, or NAME=VALUE of a map. The first flag empties what the file gave. */
static enum tn_err set_item(const struct walk *walk, const struct tn_flag *flag,
                            struct tn_str value, bool first)
{
    const struct tn_option *option = flag->option;
    void *field = (uint8_t *)walk->target + flag->offset;
    struct tn_str name = {0};
    if (first) {
        memset(field, 0, option->size);
    }
    if (option->kind == TN_OPTION_MAP) {
        const char *equals = value.size > 0 ? memchr(value.data, '=', value.size) : NULL;
        if (equals == NULL || equals == value.data) {
            return tn_fault_set(walk->fault, TN_INVALID, "expected NAME=VALUE, found '%.*s'",
                                TN_STR_ARG(value));
        }
        name = tn_str_make(value.data, (size_t)(equals - value.data));
        value = tn_str_from_offset(value, name.size + 1);
    }
    void *item = NULL;
    struct tn_arena *arena = walk->args->given.arena;
    enum tn_err err = tn_option_append(option, field, name, arena, &item, walk->fault);
    return err < 0 ? err
                   : tn_option_set(tn_option_element(option), item, value, arena, walk->fault);
}

static bool given_by_flag(const struct walk *walk, const struct tn_flag *flag)
{
    const void *field = (const uint8_t *)walk->target + flag->offset;
    return tn_option_given_line(&walk->args->given, field) == 0;
}

static enum tn_err set_flag(const struct walk *walk, const struct tn_flag *flag,
                            struct tn_str value)
{
    if (walk->dry) {
        return TN_OK;
    }
    const char *origin = origin_of(walk, flag);
    if (origin == NULL) {
        return usage(walk, tn_fault_set(walk->fault, TN_NOMEM, "no memory"));
    }
    void *field = (uint8_t *)walk->target + flag->offset;
    bool again = tn_option_is_given(&walk->args->given, field) && given_by_flag(walk, flag);
    enum tn_err err = TN_OK;
    if (tn_option_is_scalar(flag->option)) {
        err = tn_option_set(flag->option, field, value, walk->args->given.arena, walk->fault);
    } else {
        err = set_item(walk, flag, value, !again);
    }
    if (err < 0) {
        tn_fault_wrap(walk->fault, "%s", origin);
        return usage(walk, err);
    }
    err = again ? TN_OK : mark_given(walk, flag, origin);
    return err < 0 ? usage(walk, tn_fault_set(walk->fault, err, "no memory")) : TN_OK;
}

/* ---- walking ---- */

/* The word after a flag. One that starts with "--" is the next flag, not a value; --x=--y is the
 * way to say it. */
static enum tn_err next_value(struct walk *walk, struct tn_str flag, const char *expected,
                              struct tn_str *ret_value)
{
    const char *next = walk->at < walk->input->count ? walk->input->items[walk->at] : NULL;
    if (next == NULL || strncmp(next, "--", 2) == 0) {
        tn_fault_set(walk->fault, TN_INVALID, "%.*s needs a value: %.*s%s%s", TN_STR_ARG(flag),
                     TN_STR_ARG(flag), flag.data[1] == '-' ? "=" : " ", expected);
        return usage(walk, TN_INVALID);
    }
    walk->at++;
    *ret_value = tn_str_from(next);
    return TN_OK;
}

static enum tn_err take_own(struct walk *walk, enum own_flag own, struct tn_str whole,
                            const struct tn_str *value)
{
    struct tn_str file = value != NULL ? *value : (struct tn_str){0};
    if (own == OWN_CONFIG) {
        enum tn_err err = value != NULL ? TN_OK : next_value(walk, whole, "FILE", &file);
        if (err == TN_OK) {
            walk->args->config = file.data; /* the end of an argument: terminated */
        }
        return err;
    }
    if (value != NULL) {
        tn_fault_set(walk->fault, TN_INVALID, "%.*s takes no value", TN_STR_ARG(whole));
        return usage(walk, TN_INVALID);
    }
    if (own == OWN_HELP) {
        walk->args->wish = TN_ARGS_HELP;
    } else if (walk->args->wish == TN_ARGS_RUN) {
        walk->args->wish = TN_ARGS_PRINT_CONFIG;
    }
    return TN_OK;
}

static enum tn_err take_long(struct walk *walk, const char *argument)
{
    struct tn_str whole = tn_str_from(argument);
    const char *equals = strchr(argument, '=');
    struct tn_str value = {0};
    if (equals != NULL) {
        whole.size = (size_t)(equals - argument);
        value = tn_str_from(equals + 1);
    }
    struct tn_str name = tn_str_from_offset(whole, 2);
    enum own_flag own = own_flag(walk, name);
    if (own != OWN_NONE) {
        return take_own(walk, own, whole, equals != NULL ? &value : NULL);
    }
    const struct tn_flag *flag = find_flag(walk, name);
    if (flag == NULL && tn_str_starts(name, TN_STR_OF("no-")) && equals == NULL) {
        flag = find_flag(walk, tn_str_from_offset(name, 3));
        if (flag != NULL && flag->option->kind == TN_OPTION_BOOL) {
            return set_flag(walk, flag, TN_STR_OF("false"));
        }
        flag = NULL;
    }
    if (flag == NULL) {
        return unknown_flag(walk, name);
    }
    if (equals == NULL && flag->option->kind == TN_OPTION_BOOL) {
        return set_flag(walk, flag, TN_STR_OF("true"));
    }
    if (equals == NULL) {
        enum tn_err err = next_value(walk, whole, tn_flag_value_name(flag->option), &value);
        if (err < 0) {
            return err;
        }
    }
    return set_flag(walk, flag, value);
}

/* "-v", "-vq", "-p80", "-p 80". */
static enum tn_err take_letters(struct walk *walk, const char *argument)
{
    for (const char *at = argument + 1; *at != '\0'; at++) {
        if (*at == 'h' && find_letter(walk, 'h') == NULL) {
            walk->args->wish = TN_ARGS_HELP;
            continue;
        }
        const struct tn_flag *flag = find_letter(walk, *at);
        if (flag == NULL) {
            tn_fault_set(walk->fault, TN_INVALID, "unknown option '-%c' (see %s %s --help)", *at,
                         walk->input->program, walk->command->name);
            return usage(walk, TN_INVALID);
        }
        if (flag->option->kind == TN_OPTION_BOOL) {
            enum tn_err err = set_flag(walk, flag, TN_STR_OF("true"));
            if (err < 0) {
                return err;
            }
            continue;
        }
        struct tn_str value = tn_str_from(at + 1);
        const char shown[] = {'-', *at};
        enum tn_err err = TN_OK;
        if (value.size == 0) {
            err = next_value(walk, tn_str_make(shown, 2), tn_flag_value_name(flag->option), &value);
        }
        return err < 0 ? err : set_flag(walk, flag, value);
    }
    return TN_OK;
}

static enum tn_err take_positional(struct walk *walk, const char *argument)
{
    size_t left = walk->positionals;
    for (size_t i = 0; i < walk->flags.count; i++) {
        const struct tn_option *option = walk->flags.items[i].option;
        if (!option->positional) {
            continue;
        }
        if (left == 0 || option->kind == TN_OPTION_LIST) {
            walk->positionals++;
            return set_flag(walk, &walk->flags.items[i], tn_str_from(argument));
        }
        left--;
    }
    tn_fault_set(walk->fault, TN_INVALID, "unexpected argument '%.80s' (see %s %s --help)",
                 argument, walk->input->program, walk->command->name);
    return usage(walk, TN_INVALID);
}

static enum tn_err walk_all(struct walk *walk, bool dry)
{
    bool only_positionals = false;
    walk->dry = dry;
    walk->at = 0;
    walk->positionals = 0;
    while (walk->at < walk->input->count) {
        const char *argument = walk->input->items[walk->at++];
        enum tn_err err = TN_OK;
        if (only_positionals || argument[0] != '-' || argument[1] == '\0') {
            err = take_positional(walk, argument);
        } else if (strcmp(argument, "--") == 0) {
            only_positionals = true;
        } else if (argument[1] == '-') {
            err = take_long(walk, argument);
        } else {
            err = take_letters(walk, argument);
        }
        if (err < 0) {
            return err;
        }
        if (walk->args->wish == TN_ARGS_HELP) {
            return TN_OK;
        }
    }
    return TN_OK;
}

/* ---- all together ---- */

static enum tn_err read_config(const struct walk *walk, struct tn_arena *arena)
{
    struct tn_str yaml = {0};
    enum tn_err err =
        tn_file_read_text(walk->args->config, TN_CONFIG_SIZE_MAX, arena, &yaml, walk->fault);
    if (err < 0) {
        walk->args->exit_code = EX_NOINPUT;
        return err;
    }
    const struct tn_config_source source = {.yaml = yaml,
                                            .name = walk->args->config,
                                            .section = walk->command->name,
                                            .sections = walk->input->sections};
    err = tn_config_read(&source, walk->command->options, walk->target, &walk->args->given,
                         walk->fault);
    if (err < 0) {
        walk->args->exit_code = err == TN_NOMEM ? EX_OSERR : EX_CONFIG;
    }
    return err;
}

static enum tn_err read_values(struct walk *walk, struct tn_arena *arena)
{
    const struct tn_option_table *table = walk->command->options;
    enum tn_err err = tn_option_set_defaults(table, walk->target, arena);
    if (err < 0) {
        return usage(walk, tn_fault_set(walk->fault, err, "no memory"));
    }
    err = walk->args->config != NULL ? read_config(walk, arena) : TN_OK;
    if (err < 0) {
        return err;
    }
    err = walk_all(walk, false);
    if (err < 0) {
        return err;
    }
    err = tn_option_check_required(table, walk->target, &walk->args->given, TN_OPTION_AS_FLAG,
                                   walk->fault);
    return err < 0 ? usage(walk, err) : TN_OK;
}

enum tn_err tn_args_read(const struct tn_args_command *command, const struct tn_args_input *input,
                         void *target, struct tn_arena *arena, struct tn_args *args,
                         struct tn_fault *fault)
{
    TN_ASSERT(command->options == NULL || target != NULL);

    struct tn_fault own = {0};
    struct walk walk = {.command = command,
                        .input = input,
                        .target = target,
                        .args = args,
                        .fault = fault != NULL ? fault : &own};
    *args = (struct tn_args){0};
    tn_option_given_init(&args->given, arena);
    tn_flags_collect(&walk.flags, command->options);
    enum tn_err err = walk_all(&walk, true);
    if (err < 0 || args->wish == TN_ARGS_HELP || command->options == NULL) {
        return err;
    }
    return read_values(&walk, arena);
}

int tn_args_exit_code(enum tn_err err)
{
    switch (err) {
    case TN_OK:
    case TN_AGAIN:
    case TN_DONE:
        return EX_OK;
    case TN_INVALID:
    case TN_CORRUPT:
    case TN_TRUNCATED:
        return EX_DATAERR;
    case TN_NOTFOUND:
        return EX_NOINPUT;
    case TN_EXISTS:
    case TN_CONFLICT:
        return EX_CANTCREAT;
    case TN_DENIED:
    case TN_UNAUTHENTICATED:
        return EX_NOPERM;
    case TN_UNAVAILABLE:
    case TN_UNSUPPORTED:
    case TN_CLOSED:
        return EX_UNAVAILABLE;
    case TN_TIMEOUT:
    case TN_CANCELLED:
    case TN_LIMIT:
        return EX_TEMPFAIL;
    case TN_NOMEM:
        return EX_OSERR;
    case TN_IO:
        return EX_IOERR;
    case TN_INTERNAL:
        return EX_SOFTWARE;
    }
    return EX_SOFTWARE;
}
