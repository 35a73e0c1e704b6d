/* Carried state; see carried.h. A request costs one lock when it comes and one when it leaves, and
 * a copy of the state. */
#include "infer/carried.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "infer/model_parts.h"

enum { STATES_MAX = 8 };

struct state {
    size_t input, output;     /* indices in the signature */
    struct tn_shape accepted; /* of the input, by the signature */
    struct tn_tensor initial;
};

struct kept {
    uint8_t *data;
    size_t size, room;
    struct tn_shape shape;
};

struct tn_carried {
    pthread_mutex_t lock; /* guards `sequences` */
    struct tn_sequences sequences;
    struct tn_sequence *slots;
    struct tn_sequence **buckets;
    struct state states[STATES_MAX];
    size_t state_count;
    struct kept *kept; /* slot * state_count + state */
    struct tn_hash_key secret;
};

static size_t find_name(const struct tn_signature *signatures, size_t count, struct tn_str name)
{
    size_t at = 0;
    while (at < count && !tn_str_equal(signatures[at].name, name)) {
        at++;
    }
    return at;
}

static enum tn_err resolve(const struct tn_state_config *config, const struct tn_model_info *info,
                           struct state *state, struct tn_fault *fault)
{
    uint64_t elements = 0;
    state->input = find_name(info->inputs, info->input_count, config->input);
    state->output = find_name(info->outputs, info->output_count, config->output);
    if (state->input == info->input_count || state->output == info->output_count) {
        bool input = state->input == info->input_count;
        return tn_fault_set(
            fault, TN_INVALID, "sequence.states names %s '%.*s', the model has none",
            input ? "input" : "output", TN_STR_ARG(input ? config->input : config->output));
    }
    const struct tn_signature *in = &info->inputs[state->input];
    const struct tn_signature *out = &info->outputs[state->output];
    if (in->dtype != out->dtype || in->shape.rank != out->shape.rank ||
        in->dtype == TN_DTYPE_BYTES) {
        return tn_fault_set(
            fault, TN_INVALID,
            "state '%.*s' and '%.*s' are not of one datatype and rank, or are BYTES",
            TN_STR_ARG(in->name), TN_STR_ARG(out->name));
    }
    struct tn_tensor *initial = &state->initial;
    state->accepted = in->shape;
    *initial = (struct tn_tensor){.name = in->name, .dtype = in->dtype, .shape = in->shape};
    for (size_t i = 0; i < in->shape.rank; i++) {
        initial->shape.dims[i] = in->shape.dims[i] < 0 ? 1 : in->shape.dims[i];
    }
    if (tn_shape_elements(&initial->shape, &elements) != TN_OK || elements > UINT32_MAX) {
        return tn_fault_set(fault, TN_LIMIT, "state '%.*s' is too large", TN_STR_ARG(in->name));
    }
    initial->data.size = (size_t)elements * tn_dtype_size(in->dtype);
    initial->data.data = tn_mem_take_zeroed(initial->data.size + 1, 1);
    return initial->data.data != NULL ? TN_OK
                                      : tn_fault_set(fault, TN_NOMEM, "no memory for state");
}

enum tn_err tn_carried_create(const struct tn_sequence_config *config,
                              const struct tn_model_info *info, const struct tn_hash_key *secret,
                              struct tn_carried **ret_carried, struct tn_fault *fault)
{
    TN_ASSERT(config->state_count <= STATES_MAX);

    size_t buckets = 1;
    while (buckets < config->sequences_max) {
        buckets *= 2;
    }
    struct tn_carried *carried = tn_mem_take_zeroed(1, sizeof(*carried));
    if (carried == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for sequences");
    }
    pthread_mutex_init(&carried->lock, NULL);
    carried->state_count = config->state_count;
    carried->secret = *secret;
    carried->slots = tn_mem_take_zeroed(config->sequences_max, sizeof(*carried->slots));
    carried->buckets = tn_mem_take_zeroed(buckets, sizeof(struct tn_sequence *));
    carried->kept =
        tn_mem_take_zeroed(config->sequences_max * config->state_count, sizeof(*carried->kept));
    enum tn_err err = TN_OK;
    if (carried->slots == NULL || carried->buckets == NULL || carried->kept == NULL) {
        err = tn_fault_set(fault, TN_NOMEM, "no memory for %u sequences", config->sequences_max);
    }
    for (size_t i = 0; i < config->state_count && err == TN_OK; i++) {
        err = resolve(&config->states[i], info, &carried->states[i], fault);
    }
    if (err != TN_OK) {
        tn_carried_destroy(carried);
        return err;
    }
    struct tn_sequences_memory memory = {.slots = carried->slots,
                                         .slot_count = config->sequences_max,
                                         .buckets = carried->buckets,
                                         .bucket_count = buckets};
    tn_sequences_init(&carried->sequences, &memory, config->idle_timeout_ns);
    *ret_carried = carried;
    return TN_OK;
}

void tn_carried_destroy(struct tn_carried *carried)
{
    if (carried == NULL) {
        return;
    }
    for (size_t i = 0; i < carried->state_count; i++) {
        tn_mem_give((void *)(uintptr_t)carried->states[i].initial.data.data);
    }
    for (size_t i = 0; i < carried->sequences.slot_count * carried->state_count; i++) {
        tn_mem_give(carried->kept[i].data);
    }
    tn_mem_give(carried->slots);
    tn_mem_give(carried->buckets);
    tn_mem_give(carried->kept);
    pthread_mutex_destroy(&carried->lock);
    tn_mem_give(carried);
}

size_t tn_carried_count(const struct tn_carried *carried)
{
    return carried->state_count;
}

size_t tn_carried_output(const struct tn_carried *carried, size_t state)
{
    return carried->states[state].output;
}

bool tn_carried_gives(const struct tn_carried *carried, size_t input)
{
    for (size_t i = 0; i < carried->state_count; i++) {
        if (carried->states[i].input == input) {
            return true;
        }
    }
    return false;
}

static struct kept *kept_of(struct tn_carried *carried, const struct tn_sequence *sequence,
                            size_t state)
{
    return &carried->kept[(size_t)(sequence - carried->slots) * carried->state_count + state];
}

/* Completes the frame: it is the job's turn. */
static void bind_states(struct tn_carried *carried, struct tn_infer_job *job)
{
    const struct tn_sequence *sequence = job->turn.sequence;
    for (size_t i = 0; i < carried->state_count; i++) {
        const struct state *state = &carried->states[i];
        struct tn_tensor *tensor = &job->frame[state->input];
        if (tensor->dtype != TN_DTYPE_INVALID) {
            continue; /* the request brought its own */
        }
        *tensor = state->initial;
        if (sequence != NULL) {
            const struct kept *kept = kept_of(carried, sequence, i);
            if (!sequence->fresh && kept->data != NULL) {
                tensor->shape = kept->shape;
                tensor->data = tn_bytes_make(kept->data, kept->size);
            }
        }
    }
}

/* A text id becomes a hash that nobody outside can make collide with another's. */
static void make_key(const struct tn_carried *carried, const struct tn_infer_job *job,
                     uint64_t key[2])
{
    key[0] = job->sequence_id;
    key[1] = 0;
    if (job->sequence_name.size > 0) {
        struct tn_hash hash = tn_siphash_of(
            &carried->secret, tn_bytes_make(job->sequence_name.data, job->sequence_name.size));
        key[0] = hash.low;
        key[1] = hash.high;
    }
}

enum tn_err tn_carried_enter(struct tn_model *model, struct tn_infer_job *job,
                             struct tn_fault *fault)
{
    struct tn_carried *carried = model->carried;
    if (job->sequence_id == 0 && job->sequence_name.size == 0) {
        bind_states(carried, job);
        return TN_OK;
    }
    uint64_t key[2];
    make_key(carried, job, key);
    job->turn.flags = job->sequence_flags;
    for (size_t i = 0; i < carried->state_count; i++) {
        job->wanted_mask |= UINT64_C(1) << carried->states[i].output;
    }
    pthread_mutex_lock(&carried->lock);
    enum tn_err err = tn_sequences_enter(&carried->sequences, key, &job->turn, tn_clock_mono_ns());
    pthread_mutex_unlock(&carried->lock);
    if (err == TN_OK) {
        bind_states(carried, job);
    } else if (err == TN_INVALID) {
        tn_fault_set(fault, err,
                     "the sequence is not known (or was idle too long): its first request must say "
                     "sequence_start");
    } else if (err == TN_LIMIT) {
        tn_fault_set(fault, err, "%zu sequences of model '%.*s' are open, no more are allowed",
                     carried->sequences.slot_count, TN_STR_ARG(model->info.name));
    }
    return err;
}

enum tn_err tn_carried_store(struct tn_carried *carried, struct tn_infer_job *job, size_t state,
                             const struct tn_tensor *tensor, struct tn_fault *fault)
{
    struct tn_sequence *sequence = job->turn.sequence;
    struct kept *kept = kept_of(carried, sequence, state);
    /* It becomes an input unseen by the check at the door, and batches rely on the signature. */
    if (!tn_shape_fits(&carried->states[state].accepted, &tensor->shape)) {
        struct tn_shape_text text;
        return tn_fault_set(fault, TN_INVALID,
                            "the model gave a state '%.*s' of shape %s, which its input refuses",
                            TN_STR_ARG(tensor->name), tn_shape_print(&tensor->shape, &text));
    }
    if (kept->room < tensor->data.size) {
        uint8_t *data = tn_mem_take_aligned(tensor->data.size, 64);
        if (data == NULL) {
            return tn_fault_set(fault, TN_NOMEM, "no memory for the state of a sequence");
        }
        tn_mem_give(kept->data); /* the run that read it is over */
        kept->data = data;
        kept->room = tensor->data.size;
    }
    if (tensor->data.size > 0) {
        memcpy(kept->data, tensor->data.data, tensor->data.size);
    }
    kept->size = tensor->data.size;
    kept->shape = tensor->shape;
    if (state + 1 == carried->state_count) {
        sequence->fresh = false;
    }
    return TN_OK;
}

static struct tn_sequence_request *leave(struct tn_carried *carried,
                                         struct tn_sequence_request *request, uint64_t now)
{
    pthread_mutex_lock(&carried->lock);
    struct tn_sequence_request *next = tn_sequences_leave(&carried->sequences, request, now);
    pthread_mutex_unlock(&carried->lock);
    return next;
}

void tn_carried_leave(struct tn_model *model, struct tn_infer_job *job,
                      struct tn_reply_wakes *wakes)
{
    struct tn_carried *carried = model->carried;
    tn_mem_give(job->frame);
    job->frame = NULL;
    if (job->turn.sequence == NULL) {
        return;
    }
    uint64_t now = tn_clock_mono_ns();
    struct tn_sequence_request *next = leave(carried, &job->turn, now);
    while (next != NULL) {
        struct tn_infer_job *turn = TN_CONTAINER(next, struct tn_infer_job, turn);
        if (next->sequence->started) {
            bind_states(carried, turn);
            tn_job_classify(model, turn);
            tn_job_enqueue(model, turn);
            return;
        }
        next = leave(carried, next, now);
        tn_fault_set(&turn->fault, TN_INVALID, "the sequence had ended before this request");
        turn->output_count = 0;
        turn->ended_ns = now;
        tn_mem_give(turn->frame);
        turn->frame = NULL;
        atomic_fetch_sub_explicit(&model->pending, 1, memory_order_relaxed);
        tn_job_return(turn, wakes);
    }
}

bool tn_carried_forget(struct tn_carried *carried, struct tn_infer_job *job)
{
    pthread_mutex_lock(&carried->lock);
    bool waited = tn_sequences_forget(&carried->sequences, &job->turn);
    pthread_mutex_unlock(&carried->lock);
    return waited;
}
