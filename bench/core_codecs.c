/* What reading and writing messages costs: the protobuf codec on a small inference request and its
 * answer, JSON on the body of an image, numbers and hashes. CPU time of the thread, best of several
 * rounds, since the machine is shared. Peers: the C library for numbers, jansson (when it was there
 * at build time) for JSON.
 *
 * Usage: bench_core_codecs [results.jsonl]
 * Memory: heap, 16 MB. Threads: one. Bounds: about three seconds. */
#include "base/clock.h"
#include "core/assert.h"
#include "core/hash.h"
#include "core/hist.h"
#include "core/json.h"
#include "proto/inference.pb.h"

#include <stdio.h>
#include <stdlib.h>
#ifdef HAVE_JANSSON
#include <jansson.h>
#endif

enum { ROUNDS = 9, REPEATS = 100000, IMAGE = 3 * 224 * 224, BODY_SIZE_MAX = 4 << 20 };

struct figure {
    const char *name;
    const char *unit;
    double value;
    bool higher; /* is better */
    double goal;
    const char *peer;
    double peer_value;
};

static FILE *results;
static volatile uint64_t sink;

static void record(struct figure figure)
{
    bool met = figure.higher ? figure.value >= figure.goal : figure.value <= figure.goal;
    printf("core.codecs  %-28s %10.2f %-6s", figure.name, figure.value, figure.unit);
    if (figure.goal > 0) {
        printf(" goal %s %g %s", figure.higher ? ">=" : "<=", figure.goal, met ? "met" : "NOT MET");
    }
    if (figure.peer != NULL) {
        printf("  %s: %.2f (%.1fx)", figure.peer, figure.peer_value,
               figure.peer_value / figure.value);
    }
    printf("\n");
    if (results == NULL) {
        return;
    }
    fprintf(results,
            "{\"bench\":\"core.codecs\",\"figure\":\"%s\",\"value\":%.4f,\"unit\":\"%s\","
            "\"better\":\"%s\"",
            figure.name, figure.value, figure.unit, figure.higher ? "higher" : "lower");
    if (figure.goal > 0) {
        fprintf(results, ",\"goal\":%g", figure.goal);
    }
    if (figure.peer != NULL) {
        fprintf(results, ",\"peer\":\"%s\",\"peer_value\":%.4f,\"ratio\":%.3f", figure.peer,
                figure.peer_value, figure.peer_value / figure.value);
    }
    fprintf(results, "}\n");
}

static double best_ns(void (*run)(void))
{
    double best = 1e18;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t start = tn_clock_thread_ns();
        run();
        double ns = (double)(tn_clock_thread_ns() - start);
        best = ns < best ? ns : best;
    }
    return best;
}

/* --- protobuf --- */
static uint8_t tensor[64];
static struct tn_bytes tensors[2] = {{tensor, sizeof(tensor)}, {tensor, sizeof(tensor)}};
static int64_t shape[2] = {1, 16};
static uint8_t request_bytes[256];
static size_t request_size;
static struct tn_oip_model_infer_response response;

static void set_up_messages(void)
{
    static struct tn_oip_infer_input_tensor inputs[2];
    static struct tn_oip_infer_output_tensor outputs[2];
    for (size_t i = 0; i < 2; i++) {
        inputs[i] = (struct tn_oip_infer_input_tensor){.name = TN_STR("INPUT0"),
                                                       .datatype = TN_STR("INT32"),
                                                       .shape = shape,
                                                       .shape_count = 2};
        outputs[i] = (struct tn_oip_infer_output_tensor){.name = TN_STR("OUTPUT0"),
                                                         .datatype = TN_STR("INT32"),
                                                         .shape = shape,
                                                         .shape_count = 2};
    }
    struct tn_oip_model_infer_request request = {.model_name = TN_STR("simple"),
                                                 .id = TN_STR("7"),
                                                 .inputs = inputs,
                                                 .inputs_count = 2,
                                                 .raw_input_contents = tensors,
                                                 .raw_input_contents_count = 2};
    request_size = tn_pb_size(&tn_oip_model_infer_request_pb, &request);
    TN_ASSERT(request_size <= sizeof(request_bytes));
    tn_pb_encode(&tn_oip_model_infer_request_pb, &request, request_bytes, request_size);
    response = (struct tn_oip_model_infer_response){.model_name = TN_STR("simple"),
                                                    .model_version = TN_STR("1"),
                                                    .id = TN_STR("7"),
                                                    .outputs = outputs,
                                                    .outputs_count = 2,
                                                    .raw_output_contents = tensors,
                                                    .raw_output_contents_count = 2};
}

static void run_decode(void)
{
    _Alignas(16) static uint8_t memory[4096];
    struct tn_arena arena;
    tn_arena_init(&arena,
                  &(struct tn_arena_options){.first = memory, .first_size = sizeof(memory)});
    for (size_t i = 0; i < REPEATS; i++) {
        struct tn_oip_model_infer_request request;
        tn_arena_reset(&arena);
        enum tn_err err =
            tn_pb_decode(&tn_oip_model_infer_request_pb, tn_bytes_make(request_bytes, request_size),
                         &arena, &request);
        TN_ASSERT(err == TN_OK);
        sink += request.inputs_count;
    }
}

static void run_encode(void)
{
    static uint8_t out[512];
    for (size_t i = 0; i < REPEATS; i++) {
        size_t size = tn_pb_size(&tn_oip_model_infer_response_pb, &response);
        TN_ASSERT(size <= sizeof(out));
        tn_pb_encode(&tn_oip_model_infer_response_pb, &response, out, size);
        sink += out[size - 1];
    }
}

/* --- JSON and numbers --- */
static float image[IMAGE];
static char *body;
static size_t body_size;
static char *number_texts; /* terminated, one after the other */

static void set_up_body(void)
{
    body = malloc(BODY_SIZE_MAX);
    number_texts = malloc(IMAGE * (TN_NUMBER_SIZE_MAX + 1));
    TN_ASSERT(body != NULL && number_texts != NULL);
    body_size = (size_t)sprintf(body, "{\"inputs\":[{\"name\":\"x\",\"shape\":[1,3,224,224],"
                                      "\"datatype\":\"FP32\",\"data\":[");
    char *text = number_texts;
    srand(1);
    for (size_t i = 0; i < IMAGE; i++) {
        image[i] = (float)rand() / (float)RAND_MAX * 4 - 2;
        size_t size = tn_number_put_float(text, image[i]);
        text[size] = '\0';
        body_size += (size_t)sprintf(body + body_size, "%s%s", i > 0 ? "," : "", text);
        text += size + 1;
    }
    body_size += (size_t)sprintf(body + body_size, "]}]}");
}

static void run_body(void)
{
    static float out[IMAGE];
    struct tn_json reader;
    struct tn_json_numbers into = {.element = TN_JSON_FP32, .out = out, .count_max = IMAGE};
    enum tn_err err = TN_OK;
    tn_json_init(&reader, tn_str_make(body, body_size));
    while ((err = tn_json_next(&reader)) == TN_OK) {
        if (reader.event == TN_JSON_KEY && tn_json_text_is(&reader, "data")) {
            err = tn_json_next(&reader);
            TN_ASSERT(err == TN_OK);
            err = tn_json_read_numbers(&reader, &into);
            TN_ASSERT(err == TN_OK);
        }
    }
    TN_ASSERT(err == TN_DONE && memcmp(out, image, sizeof(image)) == 0);
}

static void run_read(void)
{
    const char *text = number_texts;
    for (size_t i = 0; i < IMAGE; i++) {
        struct tn_number number;
        size_t size = strlen(text);
        enum tn_err err = tn_number_scan(tn_str_make(text, size), &number);
        TN_ASSERT(err == TN_OK);
        sink += (uint64_t)(tn_number_float(&number) > 0);
        text += size + 1;
    }
}

static void run_read_library(void)
{
    const char *text = number_texts;
    for (size_t i = 0; i < IMAGE; i++) {
        sink += (uint64_t)(strtof(text, NULL) > 0);
        text += strlen(text) + 1;
    }
}

static void run_print(void)
{
    for (size_t i = 0; i < IMAGE; i++) {
        char text[TN_NUMBER_SIZE_MAX];
        sink += tn_number_put_float(text, image[i]);
    }
}

static void run_print_library(void)
{
    for (size_t i = 0; i < IMAGE; i++) {
        char text[64];
        sink += (uint64_t)snprintf(text, sizeof(text), "%.9g", (double)image[i]);
    }
}

#ifdef HAVE_JANSSON
static void run_body_jansson(void)
{
    json_t *root = json_loadb(body, body_size, 0, NULL);
    TN_ASSERT(root != NULL);
    json_t *data = json_object_get(json_array_get(json_object_get(root, "inputs"), 0), "data");
    for (size_t i = 0; i < json_array_size(data); i++) {
        sink += (uint64_t)((float)json_number_value(json_array_get(data, i)) > 0);
    }
    json_decref(root);
}
#endif

/* --- hashes --- */
static void run_siphash(void)
{
    struct tn_hash_key key = {1, sink};
    sink += tn_siphash_of(&key, tn_bytes_make(body, body_size)).low;
}

static void run_crc32c(void)
{
    sink += tn_crc32c(0, tn_bytes_make(body, body_size));
}

static void run_hist(void)
{
    static struct tn_hist hist;
    tn_hist_init(&hist);
    for (uint64_t i = 0; i < REPEATS; i++) {
        tn_hist_record(&hist, i * 2654435761U & 0xFFFFFF);
    }
    sink += tn_hist_quantile(&hist, 0.5);
}

static void run_json(void)
{
    struct figure figure = {.name = "json_image_body", .unit = "ms", .goal = 5};
    figure.value = best_ns(run_body) / 1e6;
#ifdef HAVE_JANSSON
    figure.peer = "jansson";
    figure.peer_value = best_ns(run_body_jansson) / 1e6;
#else
    printf("core.codecs  the peer jansson was not there at build time\n");
#endif
    record(figure);
    record((struct figure){.name = "read_float",
                           .unit = "ns",
                           .value = best_ns(run_read) / IMAGE,
                           .peer = "strtof",
                           .peer_value = best_ns(run_read_library) / IMAGE});
    record((struct figure){.name = "print_float",
                           .unit = "ns",
                           .value = best_ns(run_print) / IMAGE,
                           .peer = "snprintf",
                           .peer_value = best_ns(run_print_library) / IMAGE});
}

int main(int argc, char **argv)
{
    results = argc > 1 ? fopen(argv[1], "a") : NULL;
    set_up_messages();
    set_up_body();
    record((struct figure){.name = "decode_infer_request",
                           .unit = "ns",
                           .value = best_ns(run_decode) / REPEATS,
                           .goal = 200});
    record((struct figure){.name = "encode_infer_response",
                           .unit = "ns",
                           .value = best_ns(run_encode) / REPEATS,
                           .goal = 150});
    run_json();
    record((struct figure){.name = "siphash",
                           .unit = "GB/s",
                           .value = (double)body_size / best_ns(run_siphash),
                           .higher = true});
    record((struct figure){.name = "crc32c",
                           .unit = "GB/s",
                           .value = (double)body_size / best_ns(run_crc32c),
                           .higher = true});
    record(
        (struct figure){.name = "hist_record", .unit = "ns", .value = best_ns(run_hist) / REPEATS});
    free(number_texts);
    free(body);
    if (results != NULL) {
        fclose(results);
    }
    return 0;
}
