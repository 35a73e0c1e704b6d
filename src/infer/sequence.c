/* The turns of sequences; see sequence.h. Each operation is O(1), but for forget, which walks the
 * line of one sequence. */
#include "infer/sequence.h"

#include "core/assert.h"

#include <string.h>

void tn_sequences_init(struct tn_sequences *sequences, const struct tn_sequences_memory *memory,
                       uint64_t idle_timeout_ns)
{
    TN_ASSERT(memory->slot_count > 0);
    TN_ASSERT((memory->bucket_count & (memory->bucket_count - 1)) == 0);

    memset(sequences, 0, sizeof(*sequences));
    sequences->slots = memory->slots;
    sequences->slot_count = memory->slot_count;
    sequences->buckets = memory->buckets;
    sequences->bucket_mask = memory->bucket_count - 1;
    sequences->idle_timeout_ns = idle_timeout_ns;
    for (size_t i = memory->slot_count; i > 0; i--) {
        memory->slots[i - 1].chain = sequences->unused;
        sequences->unused = &memory->slots[i - 1];
    }
}

static struct tn_sequence **bucket_of(struct tn_sequences *sequences, const uint64_t key[2])
{
    /* Ids are often small and consecutive: spread them. */
    uint64_t spread = (key[0] ^ key[1] * 3) * UINT64_C(0x9e3779b97f4a7c15);
    return &sequences->buckets[(spread >> 32) & sequences->bucket_mask];
}

static struct tn_sequence *find(struct tn_sequences *sequences, const uint64_t key[2])
{
    struct tn_sequence *at = *bucket_of(sequences, key);
    while (at != NULL && (at->key[0] != key[0] || at->key[1] != key[1])) {
        at = at->chain;
    }
    return at;
}

static void idle_add(struct tn_sequences *sequences, struct tn_sequence *sequence)
{
    sequence->older = sequences->newest;
    sequence->newer = NULL;
    *(sequences->newest != NULL ? &sequences->newest->newer : &sequences->oldest) = sequence;
    sequences->newest = sequence;
}

static void idle_remove(struct tn_sequences *sequences, struct tn_sequence *sequence)
{
    *(sequence->older != NULL ? &sequence->older->newer : &sequences->oldest) = sequence->newer;
    *(sequence->newer != NULL ? &sequence->newer->older : &sequences->newest) = sequence->older;
    sequence->older = sequence->newer = NULL;
}

/* The sequence is neither busy nor in the idle list. */
static void drop(struct tn_sequences *sequences, struct tn_sequence *sequence)
{
    struct tn_sequence **at = bucket_of(sequences, sequence->key);
    while (*at != sequence) {
        at = &(*at)->chain;
    }
    *at = sequence->chain;
    sequence->taken = sequence->busy = sequence->started = false;
    sequence->chain = sequences->unused;
    sequences->unused = sequence;
    sequences->count--;
}

static void drop_idle(struct tn_sequences *sequences, uint64_t now_ns)
{
    while (sequences->oldest != NULL &&
           now_ns - sequences->oldest->used_ns >= sequences->idle_timeout_ns) {
        struct tn_sequence *gone = sequences->oldest;
        idle_remove(sequences, gone);
        drop(sequences, gone);
    }
}

static struct tn_sequence *take(struct tn_sequences *sequences, const uint64_t key[2])
{
    struct tn_sequence *sequence = sequences->unused;
    if (sequence == NULL) {
        return NULL;
    }
    sequences->unused = sequence->chain;
    struct tn_sequence **bucket = bucket_of(sequences, key);
    *sequence = (struct tn_sequence){.key = {key[0], key[1]}, .chain = *bucket, .taken = true};
    *bucket = sequence;
    sequences->count++;
    return sequence;
}

/* What the flags of the request whose turn it is mean for its sequence. */
static void begin(struct tn_sequence *sequence, const struct tn_sequence_request *request)
{
    sequence->busy = true;
    if ((request->flags & TN_SEQUENCE_START) != 0) {
        sequence->started = true;
        sequence->fresh = true;
    }
}

enum tn_err tn_sequences_enter(struct tn_sequences *sequences, const uint64_t key[2],
                               struct tn_sequence_request *request, uint64_t now_ns)
{
    drop_idle(sequences, now_ns);
    struct tn_sequence *sequence = find(sequences, key);
    if (sequence == NULL) {
        if ((request->flags & TN_SEQUENCE_START) == 0) {
            return TN_INVALID;
        }
        sequence = take(sequences, key);
        if (sequence == NULL) {
            return TN_LIMIT;
        }
    } else if (sequence->busy) {
        request->sequence = sequence;
        request->next = NULL;
        *(sequence->last != NULL ? &sequence->last->next : &sequence->first) = request;
        sequence->last = request;
        return TN_AGAIN;
    } else {
        idle_remove(sequences, sequence);
    }
    request->sequence = sequence;
    request->next = NULL;
    begin(sequence, request);
    return TN_OK;
}

struct tn_sequence_request *tn_sequences_leave(struct tn_sequences *sequences,
                                               struct tn_sequence_request *request, uint64_t now_ns)
{
    struct tn_sequence *sequence = request->sequence;
    TN_ASSERT(sequence != NULL && sequence->busy);

    if ((request->flags & TN_SEQUENCE_END) != 0) {
        sequence->started = false;
    }
    request->sequence = NULL;
    sequence->busy = false;
    sequence->used_ns = now_ns;
    struct tn_sequence_request *next = sequence->first;
    if (next != NULL) {
        sequence->first = next->next;
        sequence->last = sequence->first != NULL ? sequence->last : NULL;
        next->next = NULL;
        begin(sequence, next);
    } else if (sequence->started) {
        idle_add(sequences, sequence);
    } else {
        drop(sequences, sequence);
    }
    return next;
}

bool tn_sequences_forget(struct tn_sequences *sequences, struct tn_sequence_request *request)
{
    (void)sequences;
    struct tn_sequence *sequence = request->sequence;
    struct tn_sequence_request *before = NULL;
    if (sequence == NULL) {
        return false;
    }
    for (struct tn_sequence_request *at = sequence->first; at != NULL; at = at->next) {
        if (at == request) {
            *(before != NULL ? &before->next : &sequence->first) = at->next;
            sequence->last = sequence->last == at ? before : sequence->last;
            request->next = NULL;
            request->sequence = NULL;
            return true;
        }
        before = at;
    }
    return false;
}
