/* What the path through tn_infer costs beside ONNX Runtime itself: the same model in a bare loop of
 * Run on one thread, through an instance without batching, and with batching that tunes itself.
 *
 * One thread submits and collects, with `in_flight` jobs out, as an I/O thread would; one instance
 * runs. CPU time of the whole process counts, and items a second; the three alternate, and the best
 * of some rounds is taken, since machines are shared.
 * Usage: bench_infer_loop MODELS SIMPLE.onnx [results.jsonl]   (MODELS: folder of the set-up)
 * Memory: heap. Threads: two. Bounds: about a second for each figure. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/model.h"
#include "infer/onnx.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 3, INPUTS_MAX = 4, FLIGHT_MAX = 512 };

#define ROUND_NS (300 * TN_NS_PER_MS)

struct subject {
    const char *name, *file;
    struct tn_tensor inputs[INPUTS_MAX];
    size_t input_count;
    size_t in_flight;
};

struct rate {
    double cpu_us;   /* of the process, an item */
    double a_second; /* items, by the wall clock */
};

static struct tn_engine *engine;
static FILE *results;

static struct tn_block *read_file(const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s%s%s", folder, folder[0] != '\0' ? "/" : "", name);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s is missing: run tools/setup\n", path);
        exit(1);
    }
    struct tn_block *block = NULL;
    fseek(file, 0, SEEK_END);
    size_t size = (size_t)ftell(file);
    rewind(file);
    TN_ASSERT(tn_block_create(size, &block) == TN_OK);
    TN_ASSERT(fread(block->data, 1, size, file) == size);
    block->size = size;
    fclose(file);
    return block;
}

static void better(struct rate *best, uint64_t items, uint64_t cpu_ns, uint64_t wall_ns)
{
    double cpu_us = (double)cpu_ns / 1e3 / (double)items;
    double a_second = (double)items / ((double)wall_ns / 1e9);
    best->cpu_us = best->cpu_us == 0 || cpu_us < best->cpu_us ? cpu_us : best->cpu_us;
    best->a_second = a_second > best->a_second ? a_second : best->a_second;
}

/* --- The bare loop --- */

struct bare {
    struct tn_arena arena;
    void *program;
    struct tn_program_info info;
    OrtValue *inputs[INPUTS_MAX];
};

static void must(OrtStatus *status)
{
    if (status != NULL) {
        fprintf(stderr, "%s\n", engine->api->GetErrorMessage(status));
        exit(1);
    }
}

static void bare_load(struct bare *bare, const struct subject *subject, struct tn_block *bytes)
{
    struct tn_model_config config;
    struct tn_fault fault;
    tn_model_config_init(&config);
    tn_arena_init(&bare->arena, &(struct tn_arena_options){.source = tn_mem_source()});
    struct tn_backend_load load = {.engine = engine,
                                   .bytes = tn_bytes_make(bytes->data, bytes->size),
                                   .config = &config.session,
                                   .arena = &bare->arena};
    if (tn_onnx_backend()->load(&load, &bare->program, &bare->info, &fault) != TN_OK) {
        fprintf(stderr, "%s\n", fault.text);
        exit(1);
    }
    for (size_t i = 0; i < subject->input_count; i++) {
        const struct tn_tensor *input = &subject->inputs[i];
        must(engine->api->CreateTensorWithDataAsOrtValue(
            engine->memory, (void *)(uintptr_t)input->data.data, input->data.size,
            input->shape.dims, input->shape.rank, tn_onnx_type(input->dtype), &bare->inputs[i]));
    }
}

static void bare_round(struct bare *bare, const struct subject *subject, struct rate *best)
{
    const struct tn_onnx_program *program = bare->program;
    uint64_t items = 0;
    uint64_t cpu = tn_clock_process_ns();
    uint64_t start = tn_clock_mono_ns();
    while (tn_clock_mono_ns() - start < ROUND_NS) {
        OrtValue *outputs[8] = {NULL};
        must(engine->api->Run(program->session, NULL, program->input_names,
                              (const OrtValue *const *)bare->inputs, subject->input_count,
                              program->output_names, program->output_count, outputs));
        for (size_t i = 0; i < program->output_count; i++) {
            engine->api->ReleaseValue(outputs[i]);
        }
        items++;
    }
    better(best, items, tn_clock_process_ns() - cpu, tn_clock_mono_ns() - start);
}

static void bare_unload(struct bare *bare, const struct subject *subject)
{
    for (size_t i = 0; i < subject->input_count; i++) {
        engine->api->ReleaseValue(bare->inputs[i]);
    }
    tn_onnx_backend()->unload(bare->program);
    tn_arena_deinit(&bare->arena);
}

/* --- Through tn_infer --- */

struct slot {
    struct tn_infer_job job;
    struct tn_tensor inputs[INPUTS_MAX];
    struct tn_tensor outputs[8];
};

static struct tn_model *load_model(const struct subject *subject, struct tn_block *bytes,
                                   enum tn_batching_mode mode)
{
    struct tn_model_config config;
    struct tn_fault fault;
    struct tn_model *model = NULL;
    tn_model_config_init(&config);
    config.batching.mode = mode;
    struct tn_model_options options = {.engine = engine,
                                       .name = tn_str_from(subject->name),
                                       .version = 1,
                                       .bytes = bytes,
                                       .config = &config};
    if (tn_model_create(&options, &model, &fault) != TN_OK) {
        fprintf(stderr, "%s\n", fault.text);
        exit(1);
    }
    return model;
}

static void send(struct tn_model *model, struct slot *slot)
{
    struct tn_fault fault;
    if (tn_infer_submit(model, &slot->job, &fault) != TN_OK) {
        fprintf(stderr, "%s\n", fault.text);
        exit(1);
    }
}

/* Collects what is there; 0 when nothing was. */
static size_t collect(struct tn_chan *reply, struct tn_model *model, bool again)
{
    void *items[64];
    size_t count = tn_chan_drain(reply, items, TN_COUNT(items));
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = items[i];
        TN_ASSERT(slot->job.fault.code == TN_OK);
        for (size_t k = 0; k < slot->job.output_count; k++) {
            tn_block_unref(slot->outputs[k].owner);
        }
        if (again) {
            send(model, slot);
        }
    }
    if (again && count > 0) {
        tn_infer_flush(model);
    }
    return count;
}

static void product_round(struct tn_model *model, const struct subject *subject, struct rate *best)
{
    static struct slot slots[FLIGHT_MAX];
    struct tn_parker parker;
    struct tn_chan reply;
    uint64_t items = 0;
    tn_parker_init(&parker);
    TN_ASSERT(tn_chan_init(&reply, FLIGHT_MAX, tn_parker_waker(&parker)) == TN_OK);
    for (size_t i = 0; i < subject->in_flight; i++) {
        struct slot *slot = &slots[i];
        memset(slot, 0, sizeof(*slot));
        memcpy(slot->inputs, subject->inputs, sizeof(slot->inputs));
        slot->job.inputs = slot->inputs;
        slot->job.input_count = subject->input_count;
        slot->job.outputs = slot->outputs;
        slot->job.reply = &reply;
        send(model, slot);
    }
    uint64_t cpu = tn_clock_process_ns();
    uint64_t start = tn_clock_mono_ns();
    tn_infer_flush(model);
    while (tn_clock_mono_ns() - start < ROUND_NS) {
        size_t count = collect(&reply, model, true);
        items += count;
        if (count == 0 && tn_chan_sleep(&reply)) {
            tn_parker_wait(&parker, TN_NS_PER_S);
        }
    }
    better(best, items, tn_clock_process_ns() - cpu, tn_clock_mono_ns() - start);
    for (size_t out = subject->in_flight; out > 0;) {
        size_t count = collect(&reply, model, false);
        out -= count;
        if (count == 0 && tn_chan_sleep(&reply)) {
            tn_parker_wait(&parker, TN_NS_PER_S);
        }
    }
    tn_chan_deinit(&reply);
}

/* --- Figures --- */

static void record(const char *model, const char *figure, double value, const char *unit,
                   bool higher, double goal, double peer)
{
    printf("infer.loop  %-10s %-26s %12.2f %-8s", model, figure, value, unit);
    if (peer > 0) {
        printf("  bare: %.2f (%.2fx)", peer, higher ? value / peer : peer / value);
    }
    printf("\n");
    if (results == NULL) {
        return;
    }
    fprintf(results,
            "{\"bench\":\"infer.%s\",\"figure\":\"%s\",\"value\":%.4f,\"unit\":\"%s\",\"better\":"
            "\"%s\"",
            model, figure, value, unit, higher ? "higher" : "lower");
    if (goal > 0) {
        fprintf(results, ",\"goal\":%g", goal);
    }
    if (peer > 0) {
        fprintf(results, ",\"peer\":\"bare loop of Run\",\"peer_value\":%.4f,\"ratio\":%.3f", peer,
                higher ? value / peer : peer / value);
    }
    fprintf(results, "}\n");
}

static void report(const char *name, const struct rate *bare, const struct rate *off,
                   const struct rate *on, double off_goal, double on_goal)
{
    record(name, "bare_cpu_us_per_item", bare->cpu_us, "us", false, 0, 0);
    record(name, "unbatched_cpu_us_per_item", off->cpu_us, "us", false, 0, bare->cpu_us);
    record(name, "batched_cpu_us_per_item", on->cpu_us, "us", false, 0, bare->cpu_us);
    record(name, "unbatched_items_per_s", off->a_second, "items/s", true, off_goal, bare->a_second);
    record(name, "batched_items_per_s", on->a_second, "items/s", true, on_goal, bare->a_second);
}

static void measure(const char *folder, const struct subject *subject)
{
    struct bare bare = {0};
    struct rate rates[3] = {{0}};
    struct tn_block *bytes = read_file(folder, subject->file);
    bare_load(&bare, subject, bytes);
    struct tn_model *off = load_model(subject, bytes, TN_BATCHING_OFF);
    struct tn_model *on = load_model(subject, bytes, TN_BATCHING_AUTO);
    for (size_t i = 0; i < ROUNDS; i++) {
        bare_round(&bare, subject, &rates[0]);
        product_round(off, subject, &rates[1]);
        product_round(on, subject, &rates[2]);
    }
    report(subject->name, &rates[0], &rates[1], &rates[2], 0.97 * rates[0].a_second,
           2 * rates[1].a_second);
    struct tn_batch_stats sizes[128];
    size_t count = tn_model_batch_stats(on, sizes, TN_COUNT(sizes));
    printf("            batches:");
    for (size_t i = 0; i < count; i++) {
        printf(" %llux%llu", (unsigned long long)sizes[i].batch_size,
               (unsigned long long)sizes[i].count);
    }
    printf("\n");
    tn_model_unref(off);
    tn_model_unref(on);
    bare_unload(&bare, subject);
    tn_block_unref(bytes);
}

static struct tn_tensor tensor(const char *name, enum tn_dtype dtype, struct tn_shape shape,
                               const void *data)
{
    uint64_t elements = 0;
    TN_ASSERT(tn_shape_elements(&shape, &elements) == TN_OK);
    return (struct tn_tensor){.name = tn_str_from(name),
                              .dtype = dtype,
                              .shape = shape,
                              .data = tn_bytes_make(data, (size_t)elements * tn_dtype_size(dtype))};
}

int main(int argc, char **argv)
{
    static float zeros[3 * 48 * 192];
    static int32_t numbers[16];
    static const int64_t sample_rate = 16000;
    struct tn_fault fault;
    if (argc < 3) {
        fprintf(stderr, "usage: bench_infer_loop MODELS SIMPLE.onnx [results.jsonl]\n");
        return 64;
    }
    results = argc > 3 ? fopen(argv[3], "ae") : NULL;
    if (tn_engine_create(NULL, &engine, &fault) != TN_OK) {
        fprintf(stderr, "%s\n", fault.text);
        return 1;
    }
    for (size_t i = 0; i < TN_COUNT(zeros); i++) {
        zeros[i] = (float)(i % 97) / 97;
    }
    struct subject simple = {.name = "simple", .file = argv[2], .input_count = 2, .in_flight = 256};
    simple.inputs[0] = tensor("INPUT0", TN_DTYPE_INT32, (struct tn_shape){{1, 16}, 2}, numbers);
    simple.inputs[1] = tensor("INPUT1", TN_DTYPE_INT32, (struct tn_shape){{1, 16}, 2}, numbers);
    struct subject silero = {
        .name = "silero", .file = "silero_vad_v6.onnx", .input_count = 3, .in_flight = 64};
    silero.inputs[0] = tensor("input", TN_DTYPE_FP32, (struct tn_shape){{1, 512}, 2}, zeros);
    silero.inputs[1] = tensor("state", TN_DTYPE_FP32, (struct tn_shape){{2, 1, 128}, 3}, zeros);
    silero.inputs[2] = tensor("sr", TN_DTYPE_INT64, (struct tn_shape){{0}, 0}, &sample_rate);
    struct subject cls = {
        .name = "ocr_cls", .file = "ocr_cls.onnx", .input_count = 1, .in_flight = 32};
    cls.inputs[0] = tensor("x", TN_DTYPE_FP32, (struct tn_shape){{1, 3, 48, 192}, 4}, zeros);
    measure("", &simple);
    measure(argv[1], &silero);
    measure(argv[1], &cls);
    tn_engine_destroy(engine);
    if (results != NULL) {
        fclose(results);
    }
    return 0;
}
