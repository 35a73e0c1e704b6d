/* Shell completion from the tables; see manual.h. One `case` a subcommand; values complete to the
 * choices of an enum, to true and false, else to file names. Memory: the caller's buffer. */
#include "base/flags.h"
#include "base/manual.h"

typedef void (*script_writer)(const char *program, const struct tn_args_command *const *commands,
                              size_t count, struct tn_buf *out);

/* In single quotes of every shell here. */
static void put_quoted(struct tn_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            tn_buf_put_text(out, "'\\''");
        } else {
            tn_buf_put_byte(out, (uint8_t)*text);
        }
    }
}

static void put_names(const struct tn_args_command *const *commands, size_t count,
                      struct tn_buf *out)
{
    for (size_t i = 0; i < count; i++) {
        tn_buf_printf(out, "%s%s", i > 0 ? " " : "", commands[i]->name);
    }
}

static bool takes_config(const struct tn_args_command *command)
{
    return !command->no_config && command->options != NULL;
}

static void put_flag_words(const struct tn_args_command *command, const struct tn_flags *flags,
                           struct tn_buf *out)
{
    tn_buf_put_text(out, takes_config(command) ? "--help --config= --print-config" : "--help");
    for (size_t i = 0; i < flags->count; i++) {
        const struct tn_flag *flag = &flags->items[i];
        if (flag->name[0] == '\0' || flag->option->positional) {
            continue;
        }
        bool bare = flag->option->kind == TN_OPTION_BOOL;
        tn_buf_printf(out, " --%s%s", flag->name, bare ? "" : "=");
        if (bare) {
            tn_buf_printf(out, " --no-%s", flag->name);
        }
    }
}

static void put_choices(const struct tn_option *option, struct tn_buf *out)
{
    for (const struct tn_option_choice *choice = option->choices; choice->name != NULL; choice++) {
        tn_buf_printf(out, "%s%s", choice == option->choices ? "" : " ", choice->name);
    }
}

/* The option whose single value has a fixed set, or NULL. */
static const struct tn_option *enum_of(const struct tn_option *option)
{
    const struct tn_option *value =
        option->kind == TN_OPTION_LIST ? tn_option_element(option) : option;
    return value->kind == TN_OPTION_ENUM ? value : NULL;
}

static void bash_command(const struct tn_args_command *command, struct tn_buf *out)
{
    struct tn_flags flags;
    tn_flags_collect(&flags, command->options);
    tn_buf_printf(out, "    %s)\n        case \"$flag\" in\n", command->name);
    for (size_t i = 0; i < flags.count; i++) {
        const struct tn_option *choices = enum_of(flags.items[i].option);
        if (choices != NULL && flags.items[i].name[0] != '\0') {
            tn_buf_printf(out, "        --%s) COMPREPLY=($(compgen -W '", flags.items[i].name);
            put_choices(choices, out);
            tn_buf_put_text(out, "' -- \"$value\")); return ;;\n");
        }
    }
    tn_buf_put_text(out, "        esac\n        words='");
    put_flag_words(command, &flags, out);
    tn_buf_put_text(out, "' ;;\n");
}

static void write_bash(const char *program, const struct tn_args_command *const *commands,
                       size_t count, struct tn_buf *out)
{
    tn_buf_printf(out,
                  "# bash completion for %s\n"
                  "_%s()\n"
                  "{\n"
                  "    local cur flag='' value words=''\n"
                  "    cur=${COMP_WORDS[COMP_CWORD]}\n"
                  "    value=$cur\n"
                  "    if [[ $cur == = ]]; then value=''; fi\n"
                  "    if [[ ${COMP_WORDS[COMP_CWORD-1]} == = ]]; then\n"
                  "        flag=${COMP_WORDS[COMP_CWORD-2]}\n"
                  "    elif [[ $cur == = || $cur != -* ]]; then\n"
                  "        flag=${COMP_WORDS[COMP_CWORD-1]}\n"
                  "    fi\n"
                  "    if [[ $COMP_CWORD -eq 1 ]]; then\n"
                  "        COMPREPLY=($(compgen -W '",
                  program, program);
    put_names(commands, count, out);
    tn_buf_put_text(out, "' -- \"$cur\"))\n        return\n    fi\n    case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < count; i++) {
        bash_command(commands[i], out);
    }
    tn_buf_printf(out,
                  "    esac\n"
                  "    if [[ $cur == -* ]]; then\n"
                  "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                  "        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
                  "    else\n"
                  "        COMPREPLY=($(compgen -f -- \"$value\"))\n"
                  "        compopt -o filenames 2>/dev/null\n"
                  "    fi\n"
                  "}\n"
                  "complete -F _%s %s\n",
                  program, program);
}

/* In zsh's _arguments '[' ']' and ':' are special inside a specification. */
static void put_zsh_text(struct tn_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (strchr("[]:\\", *text) != NULL) {
            tn_buf_put_byte(out, '\\');
        }
        char one[2] = {*text, '\0'};
        put_quoted(out, one);
    }
}

static void zsh_flag(const struct tn_flag *flag, struct tn_buf *out)
{
    const struct tn_option *option = flag->option;
    bool bare = option->kind == TN_OPTION_BOOL;
    bool repeated = option->kind == TN_OPTION_LIST || option->kind == TN_OPTION_MAP;
    tn_buf_printf(out, " \\\n            '%s--%s%s[", repeated ? "*" : "", flag->name,
                  bare ? "" : "=");
    put_zsh_text(out, option->help);
    tn_buf_put_text(out, "]");
    const struct tn_option *choices = enum_of(option);
    if (choices != NULL) {
        tn_buf_put_text(out, ":value:(");
        put_choices(choices, out);
        tn_buf_put_text(out, ")");
    } else if (!bare) {
        tn_buf_put_text(out, ":");
        put_zsh_text(out, tn_flag_value_name(option));
        tn_buf_put_text(out, ":_files");
    }
    tn_buf_put_text(out, "'");
}

static void zsh_command(const struct tn_args_command *command, struct tn_buf *out)
{
    struct tn_flags flags;
    tn_flags_collect(&flags, command->options);
    tn_buf_printf(out, "        %s)\n            _arguments '--help[print help and exit]'",
                  command->name);
    if (takes_config(command)) {
        tn_buf_put_text(out, " \\\n            '--config=[YAML file]:FILE:_files'"
                             " \\\n            '--print-config[print the settings and exit]'");
    }
    for (size_t i = 0; i < flags.count; i++) {
        if (flags.items[i].name[0] != '\0' && !flags.items[i].option->positional) {
            zsh_flag(&flags.items[i], out);
        }
    }
    tn_buf_put_text(out, " \\\n            '*:file:_files' ;;\n");
}

static void write_zsh(const char *program, const struct tn_args_command *const *commands,
                      size_t count, struct tn_buf *out)
{
    tn_buf_printf(out,
                  "#compdef %s\n"
                  "_%s() {\n"
                  "    local -a commands\n"
                  "    commands=(\n",
                  program, program);
    for (size_t i = 0; i < count; i++) {
        tn_buf_printf(out, "        '%s:", commands[i]->name);
        put_zsh_text(out, commands[i]->summary);
        tn_buf_put_text(out, "'\n");
    }
    tn_buf_put_text(out, "    )\n"
                         "    if (( CURRENT == 2 )); then\n"
                         "        _describe command commands\n"
                         "        return\n"
                         "    fi\n"
                         "    local command=$words[2]\n"
                         "    shift words\n"
                         "    (( CURRENT-- ))\n"
                         "    case $command in\n");
    for (size_t i = 0; i < count; i++) {
        zsh_command(commands[i], out);
    }
    tn_buf_printf(out, "    esac\n}\n_%s \"$@\"\n", program);
}

static void fish_flag(const char *program, const char *command, const struct tn_flag *flag,
                      struct tn_buf *out)
{
    const struct tn_option *option = flag->option;
    tn_buf_printf(out, "complete -c %s -n '__fish_seen_subcommand_from %s' -l %s", program, command,
                  flag->name);
    if (option->letter != 0) {
        tn_buf_printf(out, " -s %c", option->letter);
    }
    const struct tn_option *choices = enum_of(option);
    if (choices != NULL) {
        tn_buf_put_text(out, " -x -a '");
        put_choices(choices, out);
        tn_buf_put_text(out, "'");
    } else if (option->kind != TN_OPTION_BOOL) {
        tn_buf_put_text(out, " -r");
    }
    tn_buf_put_text(out, " -d '");
    for (const char *at = option->help; *at != '\0'; at++) { /* fish: \' inside quotes */
        tn_buf_put_text(out, *at == '\'' || *at == '\\' ? "\\" : "");
        tn_buf_put_byte(out, (uint8_t)*at);
    }
    tn_buf_put_text(out, "'\n");
}

static void write_fish(const char *program, const struct tn_args_command *const *commands,
                       size_t count, struct tn_buf *out)
{
    for (size_t i = 0; i < count; i++) {
        struct tn_flags flags;
        tn_flags_collect(&flags, commands[i]->options);
        tn_buf_printf(out, "complete -c %s -n __fish_use_subcommand -a %s -d '", program,
                      commands[i]->name);
        for (const char *at = commands[i]->summary; *at != '\0'; at++) {
            tn_buf_put_text(out, *at == '\'' || *at == '\\' ? "\\" : "");
            tn_buf_put_byte(out, (uint8_t)*at);
        }
        tn_buf_put_text(out, "'\n");
        for (size_t k = 0; k < flags.count; k++) {
            if (flags.items[k].name[0] != '\0' && !flags.items[k].option->positional) {
                fish_flag(program, commands[i]->name, &flags.items[k], out);
            }
        }
        if (takes_config(commands[i])) {
            tn_buf_printf(out,
                          "complete -c %s -n '__fish_seen_subcommand_from %s' -l config -r\n"
                          "complete -c %s -n '__fish_seen_subcommand_from %s' -l print-config\n",
                          program, commands[i]->name, program, commands[i]->name);
        }
    }
}

enum tn_err tn_manual_completion(const char *shell, const char *program,
                                 const struct tn_args_command *const *commands, size_t count,
                                 struct tn_buf *out)
{
    static const struct {
        const char *shell;
        script_writer write;
    } rows[] = {{"bash", write_bash}, {"zsh", write_zsh}, {"fish", write_fish}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(shell, rows[i].shell) == 0) {
            rows[i].write(program, commands, count, out);
            return TN_OK;
        }
    }
    return TN_NOTFOUND;
}
