/* A command's conversation with a model server: one gRPC connection and calls that wait.
 *
 * The event loop runs on the calling thread while a call waits, so a command reads top to bottom.
 * Memory: answers lie in the session's arena and in blocks that it keeps until tn_session_reset.
 * Threads: one. Bounds: the client's. */
#ifndef TN_CMD_SESSION_H
#define TN_CMD_SESSION_H

#include "core/pb.h"
#include "rpc/client.h"

struct tn_session_options {
    const char *url;       /* "host:port", "http://...", "https://...", "unix:/path" */
    const char *ca_file;   /* trust these certificates instead of the system's */
    const char *cert_file; /* client certificate, with its key */
    const char *key_file;
    bool insecure;       /* do not verify the server */
    const char *token;   /* bearer token, NULL: none */
    uint64_t timeout_ns; /* a call's deadline, 0: none */
};

struct tn_session {
    struct tn_loop *loop;
    struct tn_client *client;
    struct tn_tls *tls;
    struct tn_arena arena;
    struct tn_block *messages[64]; /* what the decoded answers point into */
    size_t message_count;
    uint64_t timeout_ns;
    char *authorization; /* "Bearer ..." or NULL */
    const char *url;
    char *target; /* the URL without its scheme */
};

/* Connects when the first call needs it. */
TN_MUST enum tn_err tn_session_init(struct tn_session *session,
                                    const struct tn_session_options *options,
                                    struct tn_fault *fault);
void tn_session_deinit(struct tn_session *session); /* zeroed or half-built is accepted */

/* One unary call: encodes `request`, waits, decodes into `ret_response`, which stays valid until
 * the next reset. The fault says which server, which method, and what it answered. */
TN_MUST enum tn_err tn_session_call(struct tn_session *session, const struct tn_pb_method *method,
                                    const void *request, void *ret_response,
                                    struct tn_fault *fault);

/* Forgets the answers so far. */
void tn_session_reset(struct tn_session *session);

/* The method of the inference service by its name ("ModelInfer"); asserts that it exists. */
const struct tn_pb_method *tn_session_method(const char *name);

#endif
