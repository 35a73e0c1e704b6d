/* Loading and unloading a model; see model.h.
 *
 * create: arena, back end's program, signature, batching plan, queue, runners, threads. Any step
 * may fail; destroy takes what is there back in the opposite order. Unloading returns the
 * allocator's free pages to the system: a session's weights are many megabytes at once. */
#include "infer/model.h"

#include "base/mem.h"
#include "base/sha256.h"
#include "core/assert.h"
#include "infer/model_metrics.h"
#include "infer/model_parts.h"
#include "infer/warmup.h"

#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

enum { ARENA_CHUNK = 4096, ARENA_MAX = 64 << 20, BATCH_AUTO = 64, BATCH_MAX = 1024 };
enum { QUEUE_MAX = 1 << 20, SEQUENCES_MAX = 1 << 20 };

static const char ensemble_platform[] = "ensemble";

static size_t resident_bytes(void)
{
    unsigned long total = 0;
    unsigned long resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file != NULL) {
        if (fscanf(file, "%lu %lu", &total, &resident) != 2) {
            resident = 0;
        }
        fclose(file);
    }
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

static void destroy(struct tn_model *model)
{
    tn_model_metrics_destroy(model->metrics); /* a scrape reads the instances */
    for (size_t i = 0; i < model->instance_count && model->instances != NULL; i++) {
        struct tn_instance *instance = &model->instances[i];
        if (instance->runner != NULL) {
            model->backend->runner_destroy(instance->runner);
        }
        tn_reply_wakes_deinit(&instance->wakes);
        for (size_t k = 0; k < TN_TENSORS_MAX; k++) {
            tn_mem_give(instance->buffers[k].data);
        }
    }
    tn_mem_give(model->instances);
    tn_ensemble_runner_destroy(model->ensemble);
    tn_carried_destroy(model->carried);
    tn_cached_destroy(model->cached);
    if (model->program != NULL) {
        model->backend->unload(model->program);
    }
    tn_chan_deinit(&model->queue);
    tn_arena_deinit(&model->arena);
    pthread_mutex_destroy(&model->lock);
    tn_mem_give(model);
    tn_mem_trim();
}

static void stop_threads(struct tn_model *model)
{
    atomic_store_explicit(&model->closing, true, memory_order_release);
    for (size_t i = 0; i < model->started; i++) {
        struct tn_waker waker = tn_parker_waker(&model->instances[i].parker);
        waker.wake(waker.context);
    }
    for (size_t i = 0; i < model->started; i++) {
        tn_thread_join(&model->instances[i].thread);
    }
}

static enum tn_err override_signature(const struct tn_signature_config *configured, size_t count,
                                      struct tn_signature *signatures, size_t signature_count,
                                      const char *side, struct tn_fault *fault)
{
    for (size_t i = 0; i < count; i++) {
        struct tn_signature *found = NULL;
        struct tn_shape_text want;
        struct tn_shape_text have;
        for (size_t k = 0; k < signature_count; k++) {
            if (tn_str_equal(signatures[k].name, configured[i].name)) {
                found = &signatures[k];
            }
        }
        if (found == NULL) {
            return tn_fault_set(fault, TN_INVALID, "model.yaml names %s '%.*s', the file has none",
                                side, TN_STR_ARG(configured[i].name));
        }
        if (configured[i].dtype != TN_DTYPE_INVALID && configured[i].dtype != found->dtype) {
            return tn_fault_set(fault, TN_INVALID, "model.yaml says %s '%.*s' is %s, the file %s",
                                side, TN_STR_ARG(found->name), tn_dtype_name(configured[i].dtype),
                                tn_dtype_name(found->dtype));
        }
        found->batch_axis = configured[i].batch_axis;
        if (configured[i].shape.rank == 0) {
            continue;
        }
        bool fits = configured[i].shape.rank == found->shape.rank;
        for (size_t k = 0; fits && k < found->shape.rank; k++) {
            fits = found->shape.dims[k] < 0 || found->shape.dims[k] == configured[i].shape.dims[k];
        }
        if (!fits) {
            return tn_fault_set(
                fault, TN_INVALID, "model.yaml gives %s '%.*s' shape %s, the file %s", side,
                TN_STR_ARG(found->name), tn_shape_print(&configured[i].shape, &want),
                tn_shape_print(&found->shape, &have));
        }
        found->shape = configured[i].shape;
    }
    return TN_OK;
}

static enum tn_err load_program(struct tn_model *model, const struct tn_model_options *options,
                                struct tn_fault *fault)
{
    const struct tn_model_config *config = options->config;
    struct tn_program_info *info = &model->program_info;
    struct tn_backend_load load = {
        .engine = options->engine,
        .bytes = tn_bytes_make(options->bytes->data, options->bytes->size),
        .config = &config->session,
        .arena = &model->arena,
    };
    enum tn_err err = model->backend->load(&load, &model->program, info, fault);
    if (err == TN_OK) {
        err = override_signature(config->inputs, config->input_count, info->inputs,
                                 info->input_count, "input", fault);
    }
    if (err == TN_OK) {
        err = override_signature(config->outputs, config->output_count, info->outputs,
                                 info->output_count, "output", fault);
    }
    return err;
}

static bool names_axis(const struct tn_signature *signatures, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        any = any || signatures[i].batch_axis >= 0;
    }
    return any;
}

/* A configuration that asks for a batch, or names an axis, is trusted; otherwise the probe decides.
 */
static enum tn_err make_plan(struct tn_model *model, const struct tn_batching_config *batching,
                             struct tn_fault *fault)
{
    const struct tn_program_info *info = &model->program_info;
    struct tn_plan guess;
    enum tn_err err = tn_plan_guess(info, &guess, fault);
    if (err != TN_OK) {
        return err;
    }
    model->plan = guess;
    model->batching = *batching;
    bool off = batching->mode == TN_BATCHING_OFF;
    bool asked = !off && (batching->batch_max > 1 || names_axis(info->inputs, info->input_count) ||
                          names_axis(info->outputs, info->output_count));
    if (!off) {
        err = tn_plan_probe(model->backend, model->instances[0].runner, info, &model->plan);
    } else {
        model->plan.batchable = false;
    }
    if (err != TN_OK) {
        return tn_fault_set(fault, err, "no memory to try the model");
    }
    if (asked && !model->plan.batchable) {
        if (!guess.batchable) {
            return tn_fault_set(fault, TN_INVALID,
                                "batching is asked for, but the model's inputs and outputs have no "
                                "free dimension in common");
        }
        model->plan = guess;
    }
    if (!model->plan.batchable) {
        model->plan.first = false;
        memset(model->plan.input_axes, TN_PLAN_SHARED, sizeof(model->plan.input_axes));
        memset(model->plan.output_axes, TN_PLAN_SHARED, sizeof(model->plan.output_axes));
        model->batching.batch_max = 0;
    }
    for (size_t i = 0; i < info->input_count; i++) {
        info->inputs[i].batch_axis = model->plan.input_axes[i];
    }
    for (size_t i = 0; i < info->output_count; i++) {
        info->outputs[i].batch_axis = model->plan.output_axes[i];
    }
    return TN_OK;
}

/* Whether every dimension but the batch is fixed. */
static bool fixed_but(const struct tn_signature *signature, int axis)
{
    for (size_t i = 0; i < signature->shape.rank; i++) {
        if (signature->shape.dims[i] < 0 && (int)i != axis) {
            return false;
        }
    }
    return true;
}

static void judge_shapes(struct tn_model *model)
{
    const struct tn_program_info *info = &model->program_info;
    model->always_same = true;
    for (size_t i = 0; i < info->input_count; i++) {
        int axis = model->plan.input_axes[i];
        model->always_same =
            model->always_same && axis != TN_PLAN_SHARED && fixed_but(&info->inputs[i], axis);
    }
    for (size_t i = 0; i < info->output_count; i++) {
        bool bindable = info->outputs[i].dtype != TN_DTYPE_BYTES &&
                        fixed_but(&info->outputs[i], model->plan.output_axes[i]);
        atomic_init(&model->bindable[i], bindable);
    }
}

static void start_batcher(struct tn_model *model)
{
    const struct tn_batching_config *config = &model->batching;
    bool off = !model->plan.batchable || config->mode == TN_BATCHING_OFF;
    struct tn_batcher_limits limits = {
        .mode = off                                 ? TN_BATCHER_OFF
                : config->mode == TN_BATCHING_FIXED ? TN_BATCHER_FIXED
                                                    : TN_BATCHER_AUTO,
        .items_max = config->batch_max > 0 ? config->batch_max : BATCH_AUTO,
        .delay_max_ns = config->delay_max_ns,
    };
    for (size_t i = 0; i < config->preferred_count && i < TN_BATCHER_PREFERRED_MAX; i++) {
        limits.preferred[limits.preferred_count++] = config->preferred[i];
    }
    tn_batcher_init(&model->batcher, &limits);
}

static void fill_info(struct tn_model *model, const struct tn_model_options *options)
{
    struct tn_model_info *info = &model->info;
    bool batched = model->plan.batchable && model->plan.first;
    info->version = options->version;
    info->platform = model->backend->platform;
    info->inputs = model->program_info.inputs;
    info->input_count = model->program_info.input_count;
    info->outputs = model->program_info.outputs;
    info->output_count = model->program_info.output_count;
    info->batched = batched;
    info->batch_max = batched ? model->batcher.limits.items_max : 0;
}

static enum tn_err make_instances(struct tn_model *model, size_t count, struct tn_fault *fault)
{
    size_t size = sizeof(*model->instances);
    model->instances = tn_mem_take_aligned(count * size, 64);
    if (model->instances == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for %zu instances", count);
    }
    memset(model->instances, 0, count * size);
    model->instance_count = count;
    for (size_t i = 0; i < count; i++) {
        model->instances[i].model = model;
        model->instances[i].index = (unsigned)i;
        tn_parker_init(&model->instances[i].parker);
        tn_reply_wakes_init(&model->instances[i].wakes);
    }
    return TN_OK;
}

static enum tn_err make_runners(struct tn_model *model, struct tn_fault *fault)
{
    enum tn_err err = TN_OK;
    for (size_t i = 0; i < model->instance_count && err == TN_OK; i++) {
        err = model->backend->runner_create(model->program, &model->instances[i].runner, fault);
    }
    return err;
}

static enum tn_err start_threads(struct tn_model *model, struct tn_fault *fault)
{
    for (size_t i = 0; i < model->instance_count; i++) {
        struct tn_instance *instance = &model->instances[i];
        char name[TN_THREAD_NAME_MAX];
        snprintf(name, sizeof(name), "m:%.*s", TN_STR_ARG(model->info.name));
        struct tn_thread_options options = {.name = name};
        enum tn_err err =
            model->ensemble != NULL
                ? tn_thread_start(&instance->thread, &options, tn_ensemble_thread, model->ensemble,
                                  fault)
                : tn_thread_start(&instance->thread, &options, tn_instance_run, instance, fault);
        if (err != TN_OK) {
            return err;
        }
        model->started = i + 1;
    }
    return TN_OK;
}

static enum tn_err check_options(const struct tn_model_config *config, struct tn_fault *fault)
{
    if (config->instances < 1 || config->instances > TN_INSTANCES_MAX) {
        return tn_fault_set(fault, TN_INVALID, "instances must be 1 to %d, not %u",
                            TN_INSTANCES_MAX, config->instances);
    }
    if (config->batching.queue_max < 1 || config->batching.queue_max > QUEUE_MAX) {
        return tn_fault_set(fault, TN_INVALID, "batching.queue must be 1 to %d, not %u", QUEUE_MAX,
                            config->batching.queue_max);
    }
    if (config->batching.batch_max > BATCH_MAX) {
        return tn_fault_set(fault, TN_INVALID, "batching.max must be at most %d, not %u", BATCH_MAX,
                            config->batching.batch_max);
    }
    if (config->sequence.sequences_max < 1 || config->sequence.sequences_max > SEQUENCES_MAX) {
        return tn_fault_set(fault, TN_INVALID, "sequence.max must be 1 to %d, not %u",
                            SEQUENCES_MAX, config->sequence.sequences_max);
    }
    return TN_OK;
}

static enum tn_err build_onnx(struct tn_model *model, const struct tn_model_options *options,
                              struct tn_fault *fault)
{
    const struct tn_model_config *config = options->config;
    enum tn_err err = load_program(model, options, fault);
    if (err == TN_OK) {
        err = make_instances(model, config->instances, fault);
    }
    if (err == TN_OK) {
        err = make_runners(model, fault);
    }
    if (err == TN_OK) {
        err = make_plan(model, &config->batching, fault);
    }
    if (err != TN_OK) {
        return err;
    }
    err = tn_warmup_run(model, options, fault);
    if (err != TN_OK) {
        return err;
    }
    judge_shapes(model);
    start_batcher(model);
    model->shrink = config->session.shrink && config->session.arena;
    fill_info(model, options);
    if (config->sequence.state_count == 0) {
        return TN_OK;
    }
    return tn_carried_create(&config->sequence, &model->info, &model->secret, &model->carried,
                             fault);
}

static enum tn_err build_ensemble(struct tn_model *model, const struct tn_model_options *options,
                                  struct tn_fault *fault)
{
    enum tn_err err = make_instances(model, 1, fault);
    model->batching = options->config->batching;
    model->batching.batch_max = 0;
    if (err == TN_OK && options->config->warmup_count > 0) {
        return tn_fault_set(fault, TN_INVALID, "an ensemble is warmed up by its members");
    }
    memset(model->plan.input_axes, TN_PLAN_SHARED, sizeof(model->plan.input_axes));
    if (err == TN_OK) {
        err = tn_ensemble_runner_create(model, options, &model->ensemble, fault);
    }
    if (err == TN_OK) {
        fill_info(model, options);
        model->info.platform = ensemble_platform;
    }
    return err;
}

static void add_text(struct tn_sha256 *sha, struct tn_str text)
{
    uint8_t size[8];
    tn_store_le64(size, text.size); /* so that "ab" "c" is not "a" "bc" */
    tn_sha256_add(sha, tn_bytes_make(size, sizeof(size)));
    tn_sha256_add(sha, tn_bytes_make(text.data, text.size));
}

static void add_links(struct tn_sha256 *sha, const struct tn_map_config *links, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add_text(sha, links[i].inside);
        add_text(sha, links[i].outside);
    }
}

/* Of the model's bytes; of an ensemble, of its steps. */
static enum tn_err hash_model(struct tn_model *model, const struct tn_model_options *options)
{
    struct tn_sha256 sha;
    if (options->bytes != NULL) {
        return tn_sha256(tn_bytes_make(options->bytes->data, options->bytes->size),
                         model->info.sha256);
    }
    enum tn_err err = tn_sha256_init(&sha);
    if (err != TN_OK) {
        return err;
    }
    for (size_t i = 0; i < options->config->step_count; i++) {
        const struct tn_step_config *step = &options->config->steps[i];
        uint8_t version[8];
        add_text(&sha, step->model);
        tn_store_le64(version, (uint64_t)step->version);
        tn_sha256_add(&sha, tn_bytes_make(version, sizeof(version)));
        add_links(&sha, step->inputs, step->input_count);
        add_links(&sha, step->outputs, step->output_count);
    }
    tn_sha256_finish(&sha, model->info.sha256);
    tn_sha256_deinit(&sha);
    return TN_OK;
}

static enum tn_err build(struct tn_model *model, const struct tn_model_options *options,
                         struct tn_fault *fault)
{
    const struct tn_batching_config *batching = &options->config->batching;
    bool ensemble = tn_str_is(options->config->platform, ensemble_platform);
    struct tn_waker waker = {.wake = tn_model_wake_one, .context = model};
    const char *name = tn_arena_copy_str(&model->arena, options->name);
    if (name == NULL || tn_chan_init(&model->queue, batching->queue_max, waker) != TN_OK) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the queue");
    }
    model->info.name = tn_str_make(name, options->name.size);
    if (getrandom(&model->secret, sizeof(model->secret), 0) != sizeof(model->secret)) {
        return tn_fault_set(fault, TN_IO, "the system gives no random bytes");
    }
    size_t before = resident_bytes();
    if (hash_model(model, options) != TN_OK) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the hash");
    }
    enum tn_err err =
        ensemble ? build_ensemble(model, options, fault) : build_onnx(model, options, fault);
    if (err != TN_OK) {
        return err;
    }
    if (options->config->cache.enabled) {
        if (model->carried != NULL) {
            return tn_fault_set(fault, TN_INVALID,
                                "a model with carried state cannot have a cache");
        }
        err = tn_cached_create(&options->config->cache, &model->cached, fault);
        if (err != TN_OK) {
            return err;
        }
    }
    if (ensemble) { /* one thread, always the same */
        model->queue.waker = tn_parker_waker(&model->instances[0].parker);
    }
    size_t after = resident_bytes();
    model->info.memory_bytes = after > before ? after - before : 0;
    err = tn_model_metrics_create(options->metrics, model, &model->metrics, fault);
    return err == TN_OK ? start_threads(model, fault) : err;
}

enum tn_err tn_model_create(const struct tn_model_options *options, struct tn_model **ret_model,
                            struct tn_fault *fault)
{
    TN_ASSERT(options->config != NULL);
    bool ensemble = tn_str_is(options->config->platform, ensemble_platform);
    TN_ASSERT(ensemble ? options->find != NULL : options->bytes != NULL && options->engine != NULL);

    enum tn_err err = check_options(options->config, fault);
    if (err == TN_OK && !ensemble &&
        !tn_str_is(options->config->platform, tn_onnx_backend()->platform)) {
        err = tn_fault_set(fault, TN_UNSUPPORTED,
                           "model '%.*s' has platform '%.*s'; '%s' and '%s' "
                           "are known",
                           TN_STR_ARG(options->name), TN_STR_ARG(options->config->platform),
                           tn_onnx_backend()->platform, ensemble_platform);
    }
    struct tn_model *model = err == TN_OK ? tn_mem_take_zeroed(1, sizeof(*model)) : NULL;
    if (model == NULL) {
        return err != TN_OK ? err : tn_fault_set(fault, TN_NOMEM, "no memory for a model");
    }
    tn_arena_init(&model->arena, &(struct tn_arena_options){.source = tn_mem_source(),
                                                            .chunk_size = ARENA_CHUNK,
                                                            .size_max = ARENA_MAX});
    atomic_init(&model->refs, 1);
    model->engine = options->engine;
    model->backend = tn_onnx_backend();
    pthread_mutex_init(&model->lock, NULL);
    err = build(model, options, fault);
    if (err != TN_OK) {
        tn_fault_wrap(fault, "model '%.*s'", TN_STR_ARG(options->name));
        stop_threads(model);
        destroy(model);
        return err;
    }
    *ret_model = model;
    return TN_OK;
}

struct tn_model *tn_model_ref(struct tn_model *model)
{
    unsigned before = atomic_fetch_add_explicit(&model->refs, 1, memory_order_relaxed);
    TN_ASSERT(before > 0);
    return model;
}

void tn_model_unref(struct tn_model *model)
{
    if (model == NULL || atomic_fetch_sub_explicit(&model->refs, 1, memory_order_acq_rel) > 1) {
        return;
    }
    stop_threads(model); /* they run out what is queued first */
    destroy(model);
}

const struct tn_model_info *tn_model_info(const struct tn_model *model)
{
    return &model->info;
}
