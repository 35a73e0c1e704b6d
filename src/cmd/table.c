/* All subcommands, in the order that `tenon --help` shows them. */
#include "cmd/command.h"

#include "core/assert.h"

#include <stdio.h>
#include <string.h>

const struct tn_command *const tn_commands[] = {
    &tn_cmd_serve,  &tn_cmd_infer,      &tn_cmd_models, &tn_cmd_bench,
    &tn_cmd_config, &tn_cmd_completion, &tn_cmd_man,    NULL,
};

const struct tn_command *tn_command_find(const char *name)
{
    for (size_t i = 0; tn_commands[i] != NULL; i++) {
        if (strcmp(tn_commands[i]->args->name, name) == 0) {
            return tn_commands[i];
        }
    }
    return NULL;
}

size_t tn_command_list(const struct tn_args_command *ret_list[TN_COMMANDS_MAX])
{
    size_t count = 0;
    for (; tn_commands[count] != NULL; count++) {
        TN_ASSERT(count < TN_COMMANDS_MAX);
        ret_list[count] = tn_commands[count]->args;
    }
    return count;
}

void tn_command_sections(const char *ret_names[TN_COMMANDS_MAX + 1])
{
    size_t count = 0;
    for (size_t i = 0; tn_commands[i] != NULL; i++) {
        if (!tn_commands[i]->args->no_config) {
            ret_names[count++] = tn_commands[i]->args->name;
        }
    }
    ret_names[count] = NULL;
}

int tn_command_fail(const char *name, const struct tn_fault *fault)
{
    fprintf(stderr, "tenon %s: %s\n", name, fault->text);
    return tn_args_exit_code(fault->code);
}
