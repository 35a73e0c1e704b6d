/* What a person asks a model: a name, and a value for each input; used by `infer` and `bench`. */
#ifndef TN_CMD_QUESTION_H
#define TN_CMD_QUESTION_H

#include "base/option.h"
#include "cmd/exchange.h"
#include "cmd/input.h"

struct tn_question_options {
    const char *model;
    const char *version;
    struct tn_option_map inputs; /* NAME -> VALUE */
    struct tn_option_map shapes; /* NAME -> 1,3,48,192 */
    uint64_t seed;
};

/* Rows of an option table for a struct with a member `struct tn_question_options question`. */
#define TN_QUESTION_OPTIONS(type)                                                                  \
    {.name = "model",                                                                              \
     .kind = TN_OPTION_TEXT,                                                                       \
     TN_OPTION_AT(type, question.model),                                                           \
     .value = "MODEL",                                                                             \
     .required = true,                                                                             \
     .positional = true,                                                                           \
     .help = "name of the model on the server"},                                                   \
        {.name = "input",                                                                          \
         .kind = TN_OPTION_MAP,                                                                    \
         TN_OPTION_AT(type, question.inputs),                                                      \
         .letter = 'i',                                                                            \
         .value = "NAME=VALUE",                                                                    \
         .help = "JSON, number, text, zeros, ones, random, or @FILE (.npy .json .txt .png "        \
                 ".jpg .wav, else raw bytes)"},                                                    \
        {.name = "shape",                                                                          \
         .kind = TN_OPTION_MAP,                                                                    \
         TN_OPTION_AT(type, question.shapes),                                                      \
         .value = "NAME=DIMS",                                                                     \
         .help = "shape of an input with free dimensions, as 1,3,48,192"},                         \
        {.name = "model_version",                                                                  \
         .kind = TN_OPTION_TEXT,                                                                   \
         TN_OPTION_AT(type, question.version),                                                     \
         .value = "N",                                                                             \
         .help = "version of the model; the server chooses by default"},                           \
    {                                                                                              \
        .name = "seed", .kind = TN_OPTION_UINT, TN_OPTION_AT(type, question.seed),                 \
        .fallback = "1", .help = "of the numbers that 'random' makes"                              \
    }

/* The inputs of all requests; an input with one tensor serves for every request. */
struct tn_question {
    struct tn_remote_model model;
    struct tn_input *inputs;
    size_t input_count;
    size_t request_count;
    uint64_t sequence_id; /* 0: the model carries no state */
};

/* Fetches the model's description and reads the values. The fault lists what is missing. */
TN_MUST enum tn_err tn_question_read(const struct tn_question_options *options,
                                     struct tn_session *session, struct tn_arena *arena,
                                     struct tn_question *ret_question, struct tn_fault *fault);

/* Request `index`, with its tensors laid out in `inputs`. */
struct tn_exchange tn_question_request(const struct tn_question *question, size_t index,
                                       struct tn_tensor inputs[TN_TENSORS_MAX]);

#endif
