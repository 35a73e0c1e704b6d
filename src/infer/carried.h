/* State that the server carries from one request of a sequence to the next: what `output` gave
 * becomes `input` of the next request, and zeros (free dimensions 1) begin a sequence.
 *
 * A request without a sequence id may leave state inputs out and gets zeros. State is copied into
 * memory of the sequence, so that an idle one does not keep a whole batch's outputs alive.
 * Memory: slots at create; state when a sequence first has some, kept for the slot's next user.
 * Threads: the turns under a lock of its own; the state belongs to the job whose turn it is.
 * Bounds: sequences_max. */
#ifndef TN_INFER_CARRIED_H
#define TN_INFER_CARRIED_H

#include "core/hash.h"
#include "infer/model.h"

struct tn_carried;
struct tn_reply_wakes;

TN_MUST enum tn_err tn_carried_create(const struct tn_sequence_config *config,
                                      const struct tn_model_info *info,
                                      const struct tn_hash_key *secret,
                                      struct tn_carried **ret_carried, struct tn_fault *fault);
void tn_carried_destroy(struct tn_carried *carried); /* NULL accepted */

size_t tn_carried_count(const struct tn_carried *carried);
size_t tn_carried_output(const struct tn_carried *carried, size_t state);
bool tn_carried_gives(const struct tn_carried *carried, size_t input);

/* A checked job comes. TN_OK: its frame is complete, it may run; TN_AGAIN: it waits and comes into
 * the queue when it is its turn. TN_INVALID, TN_LIMIT: with a fault. */
TN_MUST enum tn_err tn_carried_enter(struct tn_model *model, struct tn_infer_job *job,
                                     struct tn_fault *fault);

/* Keeps a state output of the job whose turn it is. TN_NOMEM. */
TN_MUST enum tn_err tn_carried_store(struct tn_carried *carried, struct tn_infer_job *job,
                                     size_t state, const struct tn_tensor *tensor,
                                     struct tn_fault *fault);

/* The job is over: frees its frame and lets the next of its sequence into the queue, quietly. */
void tn_carried_leave(struct tn_model *model, struct tn_infer_job *job,
                      struct tn_reply_wakes *wakes);

/* Takes a job that waits for its turn out of the line. */
bool tn_carried_forget(struct tn_carried *carried, struct tn_infer_job *job);

#endif
