/* `tenon infer`: asks a model something and says the answer in words.
 *
 *   metadata + configuration -> inputs from what was typed -> one request a window -> answers */
#include "base/file.h"
#include "base/mem.h"
#include "cmd/answer.h"
#include "cmd/command.h"
#include "cmd/exchange.h"
#include "cmd/input.h"
#include "cmd/npy.h"
#include "cmd/question.h"
#include "cmd/target.h"
#include "core/assert.h"
#include "core/json_write.h"
#include "serve/json_tensor.h"

#include <stdio.h>
#include <sysexits.h>

struct options {
    struct tn_target target;
    struct tn_question_options question;
    struct tn_option_list outputs; /* const char * */
    struct tn_option_map save;     /* output -> FILE.npy */
    bool json;
};

static const struct tn_option rows[] = {
    TN_QUESTION_OPTIONS(struct options),
    {.name = "output",
     .kind = TN_OPTION_LIST,
     TN_OPTION_AT(struct options, outputs),
     .letter = 'o',
     .value = "NAME",
     .help = "ask for this output only; may be repeated"},
    {.name = "save",
     .kind = TN_OPTION_MAP,
     TN_OPTION_AT(struct options, save),
     .value = "NAME=FILE",
     .help = "write an output of the last request to a .npy file, or raw bytes for other endings"},
    {.name = "json",
     .kind = TN_OPTION_BOOL,
     TN_OPTION_AT(struct options, json),
     .help = "print one JSON object a request instead of words"},
    TN_TARGET_OPTIONS(struct options),
};
static const struct tn_option_table table = TN_OPTION_TABLE(struct options, rows);

static const struct tn_args_example examples[] = {
    {"tenon infer simple --input INPUT0=ones --input INPUT1=random", "numbers made up on the spot"},
    {"tenon infer silero_vad --input input=@speech.wav", "where somebody speaks"},
    {"tenon infer ocr_rec --input x=@line.png", "the text in a picture"},
    {"tenon infer simple -i INPUT0=@a.npy -i INPUT1=@b.npy --json", "for a script"},
    {NULL, NULL},
};

static const struct tn_args_command command = {
    .name = "infer",
    .summary = "ask a model on a server, and print its answer",
    .description =
        "Inputs come from JSON, numbers, .npy, raw, text, PNG, JPEG and WAV files. How a "
        "picture or a sound becomes a tensor, and how an answer becomes words, is said "
        "by the model's own configuration (parameters input.NAME and output.NAME).\n\n"
        "A sound longer than the model's window becomes one request a window, as one "
        "sequence when the model carries state.",
    .options = &table,
    .examples = examples,
    .no_config = true,
};

struct work {
    const struct options *options;
    struct tn_arena *arena;
    struct tn_session session;
    struct tn_question question;
    struct tn_tensor **outputs; /* one array a request */
    size_t output_count;
};

static enum tn_err ask_all(struct work *work, struct tn_fault *fault)
{
    const struct tn_question *question = &work->question;
    work->outputs = TN_ARENA_ARRAY(work->arena, struct tn_tensor *, question->request_count);
    struct tn_str *wanted =
        TN_ARENA_ARRAY(work->arena, struct tn_str, work->options->outputs.count);
    if (work->outputs == NULL || wanted == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for %zu answers", question->request_count);
    }
    for (size_t i = 0; i < work->options->outputs.count; i++) {
        wanted[i] = tn_str_from(((const char **)work->options->outputs.items)[i]);
    }
    for (size_t i = 0; i < question->request_count; i++) {
        struct tn_tensor inputs[TN_TENSORS_MAX];
        struct tn_exchange exchange = tn_question_request(question, i, inputs);
        exchange.wanted = wanted;
        exchange.wanted_count = work->options->outputs.count;
        enum tn_err err = tn_exchange_run(&exchange, &work->session, work->arena, &work->outputs[i],
                                          &work->output_count, fault);
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}

/* The model's own description of an output; NULL for one that it did not declare. */
static const struct tn_remote_tensor *described(const struct tn_remote_model *model,
                                                struct tn_str name)
{
    for (size_t i = 0; i < model->output_count; i++) {
        if (tn_str_equal(model->outputs[i].name, name)) {
            return &model->outputs[i];
        }
    }
    return NULL;
}

static enum tn_err print_words(struct work *work, struct tn_buf *out, struct tn_fault *fault)
{
    size_t requests = work->question.request_count;
    for (size_t o = 0; o < work->output_count; o++) {
        struct tn_tensor *column = TN_ARENA_ARRAY(work->arena, struct tn_tensor, requests);
        if (column == NULL) {
            return tn_fault_set(fault, TN_NOMEM, "no memory for the answer");
        }
        for (size_t i = 0; i < requests; i++) {
            column[i] = work->outputs[i][o];
        }
        const struct tn_remote_tensor *output = described(&work->question.model, column[0].name);
        if (output != NULL && output->state && work->options->outputs.count == 0) {
            continue; /* the server's business */
        }
        struct tn_answer answer = {.name = column[0].name, .tensors = column, .count = requests};
        if (output != NULL) {
            answer.recipe = output->recipe;
            answer.labels = output->labels;
        }
        enum tn_err err = tn_answer_print(&answer, out, fault);
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}

static void put_in_buf(void *context, const void *data, size_t size)
{
    tn_buf_put(context, data, size);
}

static enum tn_err put_tensor(struct tn_json_writer *json, const struct tn_tensor *tensor,
                              struct tn_fault *fault)
{
    tn_json_open_object(json);
    tn_json_pair_str(json, TN_STR_OF("name"), tensor->name);
    tn_json_pair_str(json, TN_STR_OF("datatype"), tn_str_from(tn_dtype_name(tensor->dtype)));
    tn_json_key(json, TN_STR_OF("shape"));
    tn_json_open_array(json);
    for (size_t i = 0; i < tensor->shape.rank; i++) {
        tn_json_put_int64(json, tensor->shape.dims[i]);
    }
    tn_json_close(json);
    tn_json_key(json, TN_STR_OF("data"));
    enum tn_err err = tn_json_tensor_write(tensor, json, fault);
    if (err == TN_OK) {
        tn_json_close(json);
    }
    return err;
}

static enum tn_err print_json(struct work *work, struct tn_buf *out, struct tn_fault *fault)
{
    struct tn_json_sink sink = {.put = put_in_buf, .context = out};
    for (size_t i = 0; i < work->question.request_count; i++) {
        struct tn_json_writer json;
        tn_json_writer_init(&json, &sink);
        tn_json_open_object(&json);
        tn_json_pair_uint64(&json, TN_STR_OF("request"), i);
        tn_json_key(&json, TN_STR_OF("outputs"));
        tn_json_open_array(&json);
        for (size_t o = 0; o < work->output_count; o++) {
            enum tn_err err = put_tensor(&json, &work->outputs[i][o], fault);
            if (err != TN_OK) {
                return err;
            }
        }
        tn_json_close(&json);
        tn_json_close(&json);
        tn_json_flush(&json);
        tn_buf_put_text(out, "\n");
    }
    return TN_OK;
}

static enum tn_err save_one(const struct tn_tensor *tensor, const char *path,
                            struct tn_fault *fault)
{
    struct tn_buf file;
    tn_buf_init(&file, 0);
    size_t length = strlen(path);
    enum tn_err err = TN_OK;
    if (length > 4 && strcmp(path + length - 4, ".npy") == 0) {
        char header[TN_NPY_HEADER_SIZE];
        err = tn_npy_header(tensor, header);
        if (err == TN_OK) {
            tn_buf_put(&file, header, sizeof(header));
        } else {
            err = tn_fault_set(fault, err, "%s: .npy has no form for %s; save it to a .bin file",
                               path, tn_dtype_name(tensor->dtype));
        }
    }
    if (err == TN_OK) {
        tn_buf_put(&file, tensor->data.data, tensor->data.size);
        err = file.failed == TN_OK
                  ? tn_file_write_atomic(path, tn_buf_bytes(&file), 0644, fault)
                  : tn_fault_set(fault, file.failed, "%s: no memory for the file", path);
    }
    tn_buf_deinit(&file);
    return err;
}

static enum tn_err save_all(const struct work *work, struct tn_fault *fault)
{
    const struct tn_option_map *save = &work->options->save;
    for (size_t i = 0; i < save->count; i++) {
        const struct tn_tensor *found = NULL;
        const struct tn_tensor *last = work->outputs[work->question.request_count - 1];
        for (size_t o = 0; o < work->output_count; o++) {
            found = tn_str_is(last[o].name, save->names[i]) ? &last[o] : found;
        }
        if (found == NULL) {
            return tn_fault_set(fault, TN_NOTFOUND, "--save: there is no output '%s'",
                                save->names[i]);
        }
        enum tn_err err = save_one(found, ((const char **)save->items)[i], fault);
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}

static enum tn_err answer(struct work *work, struct tn_fault *fault)
{
    enum tn_err err = tn_target_open(&work->options->target, work->arena, &work->session, fault);
    if (err == TN_OK) {
        err = tn_question_read(&work->options->question, &work->session, work->arena,
                               &work->question, fault);
    }
    if (err == TN_OK) {
        err = ask_all(work, fault);
    }
    if (err == TN_OK) {
        err = save_all(work, fault);
    }
    return err;
}

static int run(const void *given, struct tn_arena *arena)
{
    struct work work = {.options = given, .arena = arena};
    struct tn_fault fault = {0};
    struct tn_buf out;
    tn_buf_init(&out, 0);
    enum tn_err err = answer(&work, &fault);
    if (err == TN_OK) {
        err =
            work.options->json ? print_json(&work, &out, &fault) : print_words(&work, &out, &fault);
    }
    if (err == TN_OK) {
        fwrite(out.data, 1, out.size, stdout);
    }
    tn_buf_deinit(&out);
    tn_session_deinit(&work.session);
    return err == TN_OK ? EX_OK : tn_command_fail(command.name, &fault);
}

const struct tn_command tn_cmd_infer = {
    .args = &command,
    .options_size = sizeof(struct options),
    .run = run,
};
