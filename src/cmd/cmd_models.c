/* `tenon models`: what a server holds, one model in detail, load and unload. */
#include "cmd/command.h"
#include "cmd/remote_model.h"
#include "cmd/target.h"
#include "core/json_write.h"
#include "proto/inference.pb.h"

#include <stdio.h>
#include <sysexits.h>

struct options {
    struct tn_target target;
    const char *model;
    const char *load;
    const char *unload;
    bool json;
};

static const struct tn_option rows[] = {
    {.name = "model",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct options, model),
     .value = "MODEL",
     .positional = true,
     .help = "show this model's inputs, outputs and counts"},
    {.name = "load",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct options, load),
     .value = "MODEL",
     .help = "load a model, or load it anew"},
    {.name = "unload",
     .kind = TN_OPTION_TEXT,
     TN_OPTION_AT(struct options, unload),
     .value = "MODEL",
     .help = "unload a model"},
    {.name = "json",
     .kind = TN_OPTION_BOOL,
     TN_OPTION_AT(struct options, json),
     .help = "print JSON instead of a table"},
    TN_TARGET_OPTIONS(struct options),
};
static const struct tn_option_table table = TN_OPTION_TABLE(struct options, rows);

static const struct tn_args_example examples[] = {
    {"tenon models", "every model and version, and its state"},
    {"tenon models ocr_rec", "what it takes and gives, and how often it ran"},
    {"tenon models --load ocr_rec", "in a server started with --mode explicit"},
    {NULL, NULL},
};

static const struct tn_args_command command = {
    .name = "models",
    .summary = "list a server's models, look into one, load and unload",
    .options = &table,
    .examples = examples,
    .no_config = true,
};

static void put_on_stdout(void *context, const void *data, size_t size)
{
    (void)context;
    fwrite(data, 1, size, stdout);
}

static void print_index_json(const struct tn_oip_repository_index_response *index)
{
    struct tn_json_sink sink = {.put = put_on_stdout};
    struct tn_json_writer json;
    tn_json_writer_init(&json, &sink);
    tn_json_open_array(&json);
    for (size_t i = 0; i < index->models_count; i++) {
        const struct tn_oip_repository_index_response_model_index *model = &index->models[i];
        tn_json_open_object(&json);
        tn_json_pair_str(&json, TN_STR_OF("name"), model->name);
        tn_json_pair_str(&json, TN_STR_OF("version"), model->version);
        tn_json_pair_str(&json, TN_STR_OF("state"), model->state);
        tn_json_pair_str(&json, TN_STR_OF("reason"), model->reason);
        tn_json_close(&json);
    }
    tn_json_close(&json);
    tn_json_flush(&json);
    putchar('\n');
}

static void print_index_table(const struct tn_oip_repository_index_response *index)
{
    int width = 5;
    for (size_t i = 0; i < index->models_count; i++) {
        width = (int)index->models[i].name.size > width ? (int)index->models[i].name.size : width;
    }
    printf("%-*s  %-8s %-12s %s\n", width, "MODEL", "VERSION", "STATE", "REASON");
    for (size_t i = 0; i < index->models_count; i++) {
        const struct tn_oip_repository_index_response_model_index *model = &index->models[i];
        printf("%-*.*s  %-8.*s %-12.*s %.*s\n", width, TN_STR_ARG(model->name),
               TN_STR_ARG(model->version), TN_STR_ARG(model->state), TN_STR_ARG(model->reason));
    }
    if (index->models_count == 0) {
        puts("(none: the server's model repository is empty)");
    }
}

static enum tn_err list(const struct options *options, struct tn_session *session,
                        struct tn_fault *fault)
{
    struct tn_oip_repository_index_request request = {0};
    struct tn_oip_repository_index_response response;
    enum tn_err err =
        tn_session_call(session, tn_session_method("RepositoryIndex"), &request, &response, fault);
    if (err == TN_OK && options->json) {
        print_index_json(&response);
    } else if (err == TN_OK) {
        print_index_table(&response);
    }
    return err;
}

static void print_tensor(const char *kind, const struct tn_remote_tensor *tensor)
{
    printf("  %-7s %.*s  %s[", kind, TN_STR_ARG(tensor->name), tn_dtype_name(tensor->dtype));
    for (size_t i = 0; i < tensor->shape.rank; i++) {
        if (tensor->shape.dims[i] < 0) {
            printf("%s?", i > 0 ? "," : "");
        } else {
            printf("%s%lld", i > 0 ? "," : "", (long long)tensor->shape.dims[i]);
        }
    }
    printf("]%s", tensor->state ? "  (state, carried by the server)" : "");
    if (tensor->recipe.size > 0) {
        printf("  %.*s", TN_STR_ARG(tensor->recipe));
    }
    putchar('\n');
}

static double per_request_us(const struct tn_oip_statistic_duration *duration)
{
    return duration != NULL && duration->count > 0
               ? (double)duration->ns / (double)duration->count / 1000.0
               : 0.0;
}

static void print_statistics(const struct tn_oip_model_statistics *item)
{
    printf("  version %.*s: %llu inferences in %llu runs", TN_STR_ARG(item->version),
           (unsigned long long)item->inference_count, (unsigned long long)item->execution_count);
    if (item->inference_stats != NULL) {
        const struct tn_oip_infer_statistics *stats = item->inference_stats;
        printf("; a request took %.0f us: queue %.0f, compute %.0f", per_request_us(stats->success),
               per_request_us(stats->queue), per_request_us(stats->compute_infer));
        printf("; failed %llu", (unsigned long long)(stats->fail != NULL ? stats->fail->count : 0));
    }
    putchar('\n');
}

static enum tn_err show(const struct options *options, struct tn_session *session,
                        struct tn_arena *arena, struct tn_fault *fault)
{
    struct tn_remote_model model;
    struct tn_str name = tn_str_from(options->model);
    enum tn_err err =
        tn_remote_model_fetch(session, name, tn_str_make(NULL, 0), arena, &model, fault);
    if (err != TN_OK) {
        return err;
    }
    printf("%s\n", options->model);
    for (size_t i = 0; i < model.input_count; i++) {
        print_tensor("input", &model.inputs[i]);
    }
    for (size_t i = 0; i < model.output_count; i++) {
        print_tensor("output", &model.outputs[i]);
    }
    printf("  batch   %s", model.batch_max > 0 ? "up to " : "none\n");
    if (model.batch_max > 0) {
        printf("%d\n", model.batch_max);
    }
    struct tn_oip_model_statistics_request request = {.name = name};
    struct tn_oip_model_statistics_response response;
    err =
        tn_session_call(session, tn_session_method("ModelStatistics"), &request, &response, fault);
    for (size_t i = 0; err == TN_OK && i < response.model_stats_count; i++) {
        print_statistics(&response.model_stats[i]);
    }
    return err;
}

static enum tn_err load(const struct options *options, struct tn_session *session,
                        struct tn_fault *fault)
{
    struct tn_oip_repository_model_load_request request = {.model_name =
                                                               tn_str_from(options->load)};
    struct tn_oip_repository_model_load_response response;
    enum tn_err err = tn_session_call(session, tn_session_method("RepositoryModelLoad"), &request,
                                      &response, fault);
    if (err == TN_OK) {
        printf("loaded %s\n", options->load);
    }
    return err;
}

static enum tn_err unload(const struct options *options, struct tn_session *session,
                          struct tn_fault *fault)
{
    struct tn_oip_repository_model_unload_request request = {.model_name =
                                                                 tn_str_from(options->unload)};
    struct tn_oip_repository_model_unload_response response;
    enum tn_err err = tn_session_call(session, tn_session_method("RepositoryModelUnload"), &request,
                                      &response, fault);
    if (err == TN_OK) {
        printf("unloaded %s\n", options->unload);
    }
    return err;
}

static int run(const void *given, struct tn_arena *arena)
{
    const struct options *options = given;
    struct tn_fault fault = {0};
    struct tn_session session = {0};
    enum tn_err err = tn_target_open(&options->target, arena, &session, &fault);
    if (err == TN_OK && options->load != NULL) {
        err = load(options, &session, &fault);
    }
    if (err == TN_OK && options->unload != NULL) {
        err = unload(options, &session, &fault);
    }
    bool only = options->load != NULL || options->unload != NULL;
    if (err == TN_OK && options->model != NULL) {
        err = show(options, &session, arena, &fault);
    } else if (err == TN_OK && !only) {
        err = list(options, &session, &fault);
    }
    tn_session_deinit(&session);
    return err == TN_OK ? EX_OK : tn_command_fail(command.name, &fault);
}

const struct tn_command tn_cmd_models = {
    .args = &command,
    .options_size = sizeof(struct options),
    .run = run,
};
