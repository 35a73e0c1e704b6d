/* `tenon serve`: the model server (room serve) as a subcommand. */
#include "cmd/command.h"
#include "cmd/version.h"
#include "serve/server.h"

static const struct tn_args_example examples[] = {
    {"tenon serve model.onnx", "one file, no configuration"},
    {"tenon serve --models ./models", "a repository: NAME/VERSION/model.onnx, NAME/model.yaml"},
    {"tenon serve --models ./models --mode watch", "follow what changes on disk"},
    {"tenon serve --models ./models --check", "load everything, report, and exit"},
    {"tenon serve --config tenon.yaml --address 0.0.0.0 --tls-cert c.pem --tls-key k.pem",
     "for others, over TLS"},
    {NULL, NULL},
};

static const struct tn_args_command command = {
    .name = "serve",
    .summary = "serve ONNX models over gRPC and HTTP",
    .description =
        "Answers the Open Inference Protocol v2, with the additions that Triton's clients use, on "
        "port 8000 (HTTP), 8001 (gRPC) and 8002 (metrics) of the loopback interface.\n\n"
        "A model repository holds NAME/VERSION/model.onnx and, where the defaults do not fit, "
        "NAME/model.yaml. SIGTERM and SIGINT drain: ready turns false, what is under way ends, "
        "then "
        "the program does. SIGHUP reads certificates and the repository anew.",
    .options = &tn_serve_option_table,
    .examples = examples,
};

static int run(const void *options, struct tn_arena *arena)
{
    (void)arena;
    return tn_serve_run(options, TN_VERSION);
}

const struct tn_command tn_cmd_serve = {
    .args = &command,
    .options_size = sizeof(struct tn_serve_options),
    .run = run,
};
