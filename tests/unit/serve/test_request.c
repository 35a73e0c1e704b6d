/* From ModelInferRequest to job to ModelInferResponse, without a model: a table of what the wire
 * can get wrong, contents of every kind, classification, and answers that decode to themselves. */
#include "serve/request.h"

#include "base/mem.h"
#include "core/assert.h"
#include "core/pb.h"
#include "proto/inference.pb.h"
#include "serve/grpc_answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct tn_arena arena;
static struct tn_shm *shm;
static size_t retired;

static const struct tn_signature outputs[] = {
    {.name = TN_STR("scores"), .dtype = TN_DTYPE_FP32, .shape = {{-1, 4}, 2}},
    {.name = TN_STR("text"), .dtype = TN_DTYPE_BYTES, .shape = {{-1}, 1}},
};
static const struct tn_model_info info = {
    .name = TN_STR("m"), .version = 3, .outputs = outputs, .output_count = 2, .batched = true};
static struct tn_bytes output_heads[2];
static struct tn_entry_labels labels[2];
static struct tn_entry entry;

static void on_retire(void *context, struct tn_entry *which)
{
    (void)context;
    (void)which;
    retired++;
}

static int begin(void **unused)
{
    (void)unused;
    static uint8_t heads[2][64];
    tn_arena_init(&arena, &(struct tn_arena_options){.source = tn_mem_source()});
    entry = (struct tn_entry){.info = &info,
                              .version = TN_STR("3"),
                              .output_heads = output_heads,
                              .labels = labels,
                              .retire = on_retire};
    atomic_init(&entry.refs, 1);
    entry.head = tn_bytes_make("\x0a\x01m\x12\x01\x33", 6);
    entry.parameters = tn_bytes_make("\x22\x05\x0a\x01k\x12\x00", 7);
    for (size_t i = 0; i < 2; i++) {
        struct tn_oip_infer_output_tensor tensor = {
            .name = outputs[i].name, .datatype = tn_str_from(tn_dtype_name(outputs[i].dtype))};
        size_t size = tn_pb_size(&tn_oip_infer_output_tensor_pb, &tensor);
        tn_pb_encode(&tn_oip_infer_output_tensor_pb, &tensor, heads[i], size);
        output_heads[i] = tn_bytes_make(heads[i], size);
    }
    return tn_shm_create(&shm) == TN_OK ? 0 : -1;
}

static int end(void **unused)
{
    (void)unused;
    tn_shm_destroy(shm);
    tn_arena_deinit(&arena);
    return 0;
}

static enum tn_err prepare(const struct tn_oip_model_infer_request *message,
                           struct tn_request *request, struct tn_fault *fault)
{
    struct tn_request_source source = {
        .message = message, .arena = &arena, .shm = shm, .now_ns = 1000};
    unsigned refs = atomic_load(&entry.refs);
    *request = (struct tn_request){0};
    *fault = (struct tn_fault){0};
    enum tn_err err = tn_request_prepare(request, &source, &entry, fault);
    assert_int_equal(atomic_load(&entry.refs), refs + (err == TN_OK ? 1 : 0));
    assert_true((err == TN_OK) == (fault->text[0] == '\0'));
    return err;
}

/* --- The table --- */
static int64_t dims[9] = {1, 2, 1, 1, 1, 1, 1, 1, 1};
static int64_t negative[1] = {-1};
static struct tn_bytes raws[3] = {{(const uint8_t *)"12345678", 8}};
static float floats[2] = {1, 2};
static int32_t ints[2] = {300, -5};
static struct tn_oip_infer_tensor_contents fp32 = {.fp32_contents = floats,
                                                   .fp32_contents_count = 2};
static struct tn_oip_infer_tensor_contents int32 = {.int_contents = ints, .int_contents_count = 2};
static struct tn_oip_infer_parameter text = {
    .parameter_choice = TN_OIP_INFER_PARAMETER_STRING_PARAM, .string_param = TN_STR("r")};
static struct tn_oip_infer_parameter number = {
    .parameter_choice = TN_OIP_INFER_PARAMETER_INT64_PARAM, .int64_param = 8};
static struct tn_oip_infer_parameter below = {
    .parameter_choice = TN_OIP_INFER_PARAMETER_INT64_PARAM, .int64_param = -8};
static struct tn_oip_infer_parameter yes = {.parameter_choice = TN_OIP_INFER_PARAMETER_BOOL_PARAM,
                                            .bool_param = true};

#define INPUT(type, rank, ...)                                                                     \
    {                                                                                              \
        .name = TN_STR("i"), .datatype = TN_STR(type), .shape = dims, .shape_count = (rank),       \
        __VA_ARGS__                                                                                \
    }
#define NO_OUTPUT                                                                                  \
    {                                                                                              \
        .parameters = NULL                                                                         \
    }
#define PARAMETERS(list) .parameters = (list), .parameters_count = TN_COUNT(list)

static struct tn_oip_infer_parameter_entry region_only[] = {
    {TN_STR("shared_memory_region"), &text}};
static struct tn_oip_infer_parameter_entry region_sized[] = {
    {TN_STR("shared_memory_region"), &text}, {TN_STR("shared_memory_byte_size"), &number}};
static struct tn_oip_infer_parameter_entry region_below[] = {
    {TN_STR("shared_memory_region"), &text},
    {TN_STR("shared_memory_byte_size"), &number},
    {TN_STR("shared_memory_offset"), &below}};
static struct tn_oip_infer_parameter_entry region_number[] = {
    {TN_STR("shared_memory_region"), &number}};
static struct tn_oip_infer_parameter_entry classes[] = {{TN_STR("classification"), &number}};
static struct tn_oip_infer_parameter_entry classes_text[] = {{TN_STR("classification"), &text}};
static struct tn_oip_infer_parameter_entry bad_flag[] = {{TN_STR("sequence_end"), &number}};
static struct tn_oip_infer_parameter_entry bad_id[] = {{TN_STR("sequence_id"), &below}};
static struct tn_oip_infer_parameter_entry bad_priority[] = {{TN_STR("priority"), &text}};

static const struct {
    const char *what;
    struct tn_oip_infer_input_tensor input;
    size_t raw_count;
    struct tn_oip_infer_requested_output_tensor output;
    struct tn_oip_infer_parameter_entry *parameters;
    enum tn_err err;
    const char *words;
} table[] = {
    {"raw", INPUT("FP32", 2), 1, NO_OUTPUT, NULL, TN_OK, NULL},
    {"typed", INPUT("FP32", 2, .contents = &fp32), 0, NO_OUTPUT, NULL, TN_OK, NULL},
    {"both", INPUT("FP32", 2, .contents = &fp32), 1, NO_OUTPUT, NULL, TN_INVALID, "typed"},
    {"neither", INPUT("FP32", 2), 0, NO_OUTPUT, NULL, TN_INVALID, "elements"},
    {"two raws", INPUT("FP32", 2), 2, NO_OUTPUT, NULL, TN_INVALID, "2 items"},
    {"unknown type", INPUT("FP31", 2), 1, NO_OUTPUT, NULL, TN_INVALID, "FP31"},
    {"rank 9", INPUT("FP32", 9), 1, NO_OUTPUT, NULL, TN_INVALID, "9 dimensions"},
    {"wrong member", INPUT("INT32", 2, .contents = &fp32), 0, NO_OUTPUT, NULL, TN_INVALID,
     "int_contents"},
    {"out of range", INPUT("UINT8", 2, .contents = &int32), 0, NO_OUTPUT, NULL, TN_INVALID,
     "uint_contents"},
    {"too wide", INPUT("INT8", 2, .contents = &int32), 0, NO_OUTPUT, NULL, TN_INVALID, "range"},
    {"too few", INPUT("FP32", 1, .contents = &fp32), 0, NO_OUTPUT, NULL, TN_INVALID, "needs 1"},
    {"typed bf16", INPUT("BF16", 2), 0, NO_OUTPUT, NULL, TN_INVALID, "raw_input_contents"},
    {"region without size", INPUT("FP32", 2, PARAMETERS(region_only)), 0, NO_OUTPUT, NULL,
     TN_INVALID, "byte_size"},
    {"unknown region", INPUT("FP32", 2, PARAMETERS(region_sized)), 0, NO_OUTPUT, NULL, TN_NOTFOUND,
     "'r'"},
    {"region and typed", INPUT("FP32", 2, PARAMETERS(region_sized), .contents = &fp32), 0,
     NO_OUTPUT, NULL, TN_INVALID, "send one"},
    {"region below", INPUT("FP32", 2, PARAMETERS(region_below)), 0, NO_OUTPUT, NULL, TN_INVALID,
     "offset"},
    {"region a number", INPUT("FP32", 2, PARAMETERS(region_number)), 0, NO_OUTPUT, NULL, TN_INVALID,
     "a name"},
    {"unknown output", INPUT("FP32", 2), 1, {.name = TN_STR("other")}, NULL, TN_INVALID, "other"},
    {"classes",
     INPUT("FP32", 2),
     1,
     {.name = TN_STR("scores"), PARAMETERS(classes)},
     NULL,
     TN_OK,
     NULL},
    {"classes of text",
     INPUT("FP32", 2),
     1,
     {.name = TN_STR("text"), PARAMETERS(classes)},
     NULL,
     TN_INVALID,
     "no classes"},
    {"classes in words",
     INPUT("FP32", 2),
     1,
     {.name = TN_STR("scores"), PARAMETERS(classes_text)},
     NULL,
     TN_INVALID,
     "number"},
    {"flag a number", INPUT("FP32", 2), 1, NO_OUTPUT, bad_flag, TN_INVALID, "sequence_end"},
    {"id below", INPUT("FP32", 2), 1, NO_OUTPUT, bad_id, TN_INVALID, "sequence_id"},
    {"priority a text", INPUT("FP32", 2), 1, NO_OUTPUT, bad_priority, TN_INVALID, "priority"},
};

static void the_wire_is_checked(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < TN_COUNT(table); i++) {
        struct tn_request request;
        struct tn_fault fault;
        struct tn_oip_infer_input_tensor input = table[i].input;
        struct tn_oip_infer_requested_output_tensor output = table[i].output;
        struct tn_oip_model_infer_request message = {
            .inputs = &input,
            .inputs_count = 1,
            .outputs = &output,
            .outputs_count = output.name.size > 0 ? 1 : 0,
            .raw_input_contents = raws,
            .raw_input_contents_count = table[i].raw_count,
            .parameters = table[i].parameters,
            .parameters_count = table[i].parameters != NULL ? 1 : 0,
        };
        enum tn_err err = prepare(&message, &request, &fault);
        if (err != table[i].err ||
            (table[i].words != NULL && strstr(fault.text, table[i].words) == NULL)) {
            fail_msg("%s: %s: %s", table[i].what, tn_err_name(err), fault.text);
        }
        if (err == TN_OK) {
            assert_int_equal(request.job.inputs[0].data.size, 8);
            tn_request_release(&request);
        }
        tn_arena_reset(&arena);
    }
    struct tn_oip_infer_input_tensor one = INPUT("FP32", 1);
    one.shape = negative;
    struct tn_oip_model_infer_request message = {.inputs = &one, .inputs_count = 1};
    struct tn_request request;
    struct tn_fault fault;
    assert_int_equal(prepare(&message, &request, &fault), TN_INVALID);
    assert_int_equal(retired, 0);
}

static void parameters_reach_the_job(void **unused)
{
    (void)unused;
    struct tn_oip_infer_parameter_entry parameters[] = {
        {TN_STR("sequence_id"), &text}, {TN_STR("sequence_start"), &yes},
        {TN_STR("sequence_end"), &yes}, {TN_STR("priority"), &number},
        {TN_STR("timeout"), &number},   {TN_STR("of no meaning"), &below},
    };
    struct tn_oip_model_infer_request message = {.id = TN_STR("7"), PARAMETERS(parameters)};
    struct tn_request request;
    struct tn_fault fault;
    assert_int_equal(prepare(&message, &request, &fault), TN_OK);
    assert_true(tn_str_is(request.job.sequence_name, "r"));
    assert_int_equal(request.job.sequence_flags, TN_SEQUENCE_START | TN_SEQUENCE_END);
    assert_int_equal(request.job.priority, 8);
    assert_int_equal(request.job.deadline_ns, 1000 + 8000);
    assert_int_equal(request.job.output_count, 2);
    assert_true(tn_str_is(request.id, "7"));
    tn_request_release(&request);
}

static void raw_contents_stay_where_they_are_when_aligned(void **unused)
{
    (void)unused;
    _Alignas(8) uint8_t bytes[32] = "0123456789abcdef";
    for (size_t shift = 0; shift < 8; shift++) {
        struct tn_oip_infer_input_tensor input = INPUT("FP32", 2);
        struct tn_bytes raw = tn_bytes_make(bytes + shift, 8);
        struct tn_oip_model_infer_request message = {.inputs = &input,
                                                     .inputs_count = 1,
                                                     .raw_input_contents = &raw,
                                                     .raw_input_contents_count = 1};
        struct tn_request request;
        struct tn_fault fault;
        assert_int_equal(prepare(&message, &request, &fault), TN_OK);
        const uint8_t *data = request.job.inputs[0].data.data;
        assert_true((data == bytes + shift) == (shift % 4 == 0));
        assert_int_equal((uintptr_t)data % 4, 0);
        assert_memory_equal(data, bytes + shift, 8);
        tn_request_release(&request);
    }
}

/* --- Answers --- */
static void fill(struct tn_request *request, struct tn_tensor *tensors, const float *scores,
                 size_t rows, struct tn_block *large)
{
    tensors[0] = (struct tn_tensor){.name = outputs[0].name,
                                    .dtype = TN_DTYPE_FP32,
                                    .shape = {{(int64_t)rows, 4}, 2},
                                    .data = tn_bytes_make(scores, rows * 16)};
    tensors[1] = (struct tn_tensor){.name = outputs[1].name,
                                    .dtype = TN_DTYPE_BYTES,
                                    .shape = {{1}, 1},
                                    .data = tn_bytes_make(large->data, large->size),
                                    .owner = tn_block_ref(large)};
    request->job.outputs = tensors;
    request->job.output_count = 2;
}

static void check_answer(const struct tn_request *request, const struct tn_block *large)
{
    struct tn_piece pieces[TN_ANSWER_PIECES_MAX];
    size_t count = 0;
    assert_int_equal(tn_grpc_answer(request, &arena, false, pieces, &count), TN_OK);
    assert_int_equal(count, large->size >= 4096 ? 2 : 1);
    uint8_t *whole = tn_arena_take(&arena, 100000, 1);
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        memcpy(whole + size, pieces[i].bytes.data, pieces[i].bytes.size);
        size += pieces[i].bytes.size;
        tn_block_unref(pieces[i].owner);
    }
    struct tn_oip_model_infer_response response;
    assert_int_equal(tn_pb_decode(&tn_oip_model_infer_response_pb, tn_bytes_make(whole, size),
                                  &arena, &response),
                     TN_OK);
    assert_true(tn_str_is(response.model_name, "m") && tn_str_is(response.model_version, "3"));
    assert_true(tn_str_equal(response.id, request->id));
    assert_int_equal(response.outputs_count, 2);
    assert_int_equal(response.raw_output_contents_count, 2);
    assert_true(tn_str_is(response.outputs[1].datatype, "BYTES"));
    assert_true(tn_bytes_equal(response.raw_output_contents[0], request->job.outputs[0].data));
    assert_true(tn_bytes_equal(response.raw_output_contents[1], request->job.outputs[1].data));
    assert_int_equal(response.outputs[0].shape_count, request->job.outputs[0].shape.rank);
    for (size_t i = 0; i < response.outputs[0].shape_count; i++) {
        assert_int_equal(response.outputs[0].shape[i], request->job.outputs[0].shape.dims[i]);
    }
}

static void answers_decode_to_themselves(void **unused)
{
    (void)unused;
    static const float scores[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    static const size_t sizes[] = {0, 1, 127, 128, 4095, 4096, 70000};
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        struct tn_block *large = NULL;
        struct tn_tensor tensors[2];
        struct tn_request_output asked[2] = {{.index = 0}, {.index = 1}};
        struct tn_request request = {
            .entry = tn_entry_ref(&entry), .id = TN_STR("x1"), .asked = asked};
        assert_int_equal(tn_block_create(sizes[i] + 1, &large), TN_OK);
        memset(large->data, 'z', sizes[i]);
        large->size = sizes[i];
        fill(&request, tensors, scores, 2, large);
        check_answer(&request, large);
        tn_request_release(&request);
        assert_int_equal(atomic_load(&large->refs), 1);
        tn_block_unref(large);
        tn_arena_reset(&arena);
    }
}

static void classes_are_ranked(void **unused)
{
    (void)unused;
    static const float scores[8] = {1, 4, 4, -2, 0.5F, __builtin_nanf(""), 9, 8};
    static const struct tn_str names[] = {TN_STR("zero"), TN_STR("one"), TN_STR("two")};
    struct tn_block *large = NULL;
    struct tn_tensor tensors[2];
    struct tn_request_output asked[2] = {{.index = 0, .classes = 2}, {.index = 1}};
    struct tn_request request = {.entry = tn_entry_ref(&entry), .asked = asked};
    struct tn_fault fault = {0};
    labels[0] = (struct tn_entry_labels){.names = names, .count = 3};
    assert_int_equal(tn_block_create(8, &large), TN_OK);
    fill(&request, tensors, scores, 2, large);
    assert_int_equal(tn_request_classify(&request, &arena, &fault), TN_OK);
    static const char expected[] = "\x0e\0\0\0"
                                   "4.000000:1:one"
                                   "\x0e\0\0\0"
                                   "4.000000:2:two"
                                   "\x0e\0\0\0"
                                   "9.000000:2:two"
                                   "\x0a\0\0\0"
                                   "8.000000:3";
    assert_int_equal(tensors[0].data.size, sizeof(expected) - 1);
    assert_memory_equal(tensors[0].data.data, expected, sizeof(expected) - 1);
    assert_int_equal(tensors[0].shape.dims[0], 2);
    assert_int_equal(tensors[0].shape.dims[1], 2);
    check_answer(&request, large);
    labels[0] = (struct tn_entry_labels){0};
    tn_request_release(&request);
    tn_block_unref(large);
}

static void memory_may_run_out_anywhere(void **unused)
{
    (void)unused;
    struct tn_oip_infer_input_tensor input = INPUT("FP32", 2, .contents = &fp32);
    struct tn_oip_infer_requested_output_tensor output = {.name = TN_STR("scores")};
    struct tn_oip_model_infer_request message = {
        .inputs = &input, .inputs_count = 1, .outputs = &output, .outputs_count = 1};
    bool succeeded = false;
    for (size_t room = 0; room < 4096 && !succeeded; room += 16) {
        static _Alignas(64) uint8_t memory[4096];
        struct tn_arena small;
        struct tn_request request = {0};
        struct tn_fault fault = {0};
        tn_arena_init(&small, &(struct tn_arena_options){.first = memory, .first_size = room + 64});
        struct tn_request_source source = {.message = &message, .arena = &small, .shm = shm};
        unsigned refs = atomic_load(&entry.refs);
        enum tn_err err = tn_request_prepare(&request, &source, &entry, &fault);
        assert_true(err == TN_OK || err == TN_NOMEM);
        succeeded = err == TN_OK;
        assert_int_equal(atomic_load(&entry.refs), refs + (succeeded ? 1 : 0));
        if (succeeded) {
            tn_request_release(&request);
        }
    }
    assert_true(succeeded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_wire_is_checked),
        cmocka_unit_test(parameters_reach_the_job),
        cmocka_unit_test(raw_contents_stay_where_they_are_when_aligned),
        cmocka_unit_test(answers_decode_to_themselves),
        cmocka_unit_test(classes_are_ranked),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
