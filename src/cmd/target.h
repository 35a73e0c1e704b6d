/* The options by which every client subcommand finds its server. */
#ifndef TN_CMD_TARGET_H
#define TN_CMD_TARGET_H

#include "base/option.h"
#include "cmd/session.h"

struct tn_target {
    const char *url;
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    const char *token_file;
    uint64_t timeout_ns;
    bool insecure;
};

/* Rows of an option table for a struct with a member `struct tn_target target` of `type`. */
#define TN_TARGET_OPTIONS(type)                                                                    \
    {.name = "url",                                                                                \
     .kind = TN_OPTION_TEXT,                                                                       \
     TN_OPTION_AT(type, target.url),                                                               \
     .fallback = "127.0.0.1:8001",                                                                 \
     .letter = 'u',                                                                                \
     .value = "HOST:PORT",                                                                         \
     .help = "gRPC address of the server; https:// switches TLS on"},                              \
        {.name = "ca",                                                                             \
         .kind = TN_OPTION_TEXT,                                                                   \
         TN_OPTION_AT(type, target.ca_file),                                                       \
         .value = "FILE",                                                                          \
         .help = "trust the certificates in this file instead of the system's"},                   \
        {.name = "cert",                                                                           \
         .kind = TN_OPTION_TEXT,                                                                   \
         TN_OPTION_AT(type, target.cert_file),                                                     \
         .value = "FILE",                                                                          \
         .help = "client certificate for mutual TLS"},                                             \
        {.name = "key",                                                                            \
         .kind = TN_OPTION_TEXT,                                                                   \
         TN_OPTION_AT(type, target.key_file),                                                      \
         .value = "FILE",                                                                          \
         .help = "private key of the client certificate"},                                         \
        {.name = "insecure",                                                                       \
         .kind = TN_OPTION_BOOL,                                                                   \
         TN_OPTION_AT(type, target.insecure),                                                      \
         .help = "do not verify the server's certificate (tests only)"},                           \
        {.name = "token_file",                                                                     \
         .kind = TN_OPTION_TEXT,                                                                   \
         TN_OPTION_AT(type, target.token_file),                                                    \
         .value = "FILE",                                                                          \
         .help = "file with the bearer token to send; TENON_TOKEN does the same"},                 \
    {                                                                                              \
        .name = "timeout", .kind = TN_OPTION_DURATION, TN_OPTION_AT(type, target.timeout_ns),      \
        .fallback = "30s", .help = "deadline of a request"                                         \
    }

/* Opens the session these options describe. */
TN_MUST enum tn_err tn_target_open(const struct tn_target *target, struct tn_arena *arena,
                                   struct tn_session *ret_session, struct tn_fault *fault);

#endif
