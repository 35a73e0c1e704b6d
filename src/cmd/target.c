/* Turns the client options into a session; see target.h. */
#include "cmd/target.h"

#include "base/file.h"

#include <stdlib.h>

enum { TOKEN_SIZE_MAX = 16384 };

/* The token never comes from the command line, where every user of the machine can read it. */
static enum tn_err find_token(const struct tn_target *target, struct tn_arena *arena,
                              const char **ret_token, struct tn_fault *fault)
{
    if (target->token_file == NULL) {
        *ret_token = getenv("TENON_TOKEN");
        return TN_OK;
    }
    struct tn_str text;
    enum tn_err err = tn_file_read_text(target->token_file, TOKEN_SIZE_MAX, arena, &text, fault);
    if (err != TN_OK) {
        return err;
    }
    while (text.size > 0 && strchr(" \t\r\n", text.data[text.size - 1]) != NULL) {
        text.size--;
    }
    *ret_token = tn_arena_copy_str(arena, text);
    return *ret_token != NULL ? TN_OK : tn_fault_set(fault, TN_NOMEM, "no memory for the token");
}

enum tn_err tn_target_open(const struct tn_target *target, struct tn_arena *arena,
                           struct tn_session *ret_session, struct tn_fault *fault)
{
    const char *token = NULL;
    enum tn_err err = find_token(target, arena, &token, fault);
    if (err != TN_OK) {
        return err;
    }
    return tn_session_init(ret_session,
                           &(struct tn_session_options){.url = target->url,
                                                        .ca_file = target->ca_file,
                                                        .cert_file = target->cert_file,
                                                        .key_file = target->key_file,
                                                        .insecure = target->insecure,
                                                        .token = token,
                                                        .timeout_ns = target->timeout_ns},
                           fault);
}
