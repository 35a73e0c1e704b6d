/* Thread slots: a bitmap of the slots in use, and a thread-exit hook that clears the bit.
 *
 * Claim is an acquire and give-back a release on the same word, so the next owner of a slot sees
 * every cell as its last owner left it.
 * Memory: static. Threads: any. Bounds: TN_SLOT_COUNT owners at a time. */
#include "telemetry/slot.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

_Thread_local unsigned tn_slot_mine = TN_SLOT_UNKNOWN;

static atomic_uint_least64_t slots_taken;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static int exit_key_failed;

static void slot_leave(void *value)
{
    unsigned slot = (unsigned)((uintptr_t)value - 1);
    /* Hooks of other libraries may still update metrics on this thread: those share. */
    tn_slot_mine = TN_SLOT_NONE;
    atomic_fetch_and_explicit(&slots_taken, ~(UINT64_C(1) << slot), memory_order_release);
}

static void exit_hook_make(void)
{
    exit_key_failed = pthread_key_create(&exit_key, slot_leave);
}

unsigned tn_slot_claim(void)
{
    tn_slot_mine = TN_SLOT_NONE;
    pthread_once(&exit_once, exit_hook_make);
    if (exit_key_failed != 0) {
        return TN_SLOT_NONE; /* a slot that is never given back would run dry */
    }
    uint64_t taken = atomic_load_explicit(&slots_taken, memory_order_relaxed);
    while (~taken != 0) {
        unsigned slot = (unsigned)__builtin_ctzll(~taken);
        if (!atomic_compare_exchange_weak_explicit(&slots_taken, &taken,
                                                   taken | UINT64_C(1) << slot,
                                                   memory_order_acquire, memory_order_relaxed)) {
            continue;
        }
        if (pthread_setspecific(exit_key, (void *)((uintptr_t)slot + 1)) != 0) {
            atomic_fetch_and_explicit(&slots_taken, ~(UINT64_C(1) << slot), memory_order_release);
            return TN_SLOT_NONE;
        }
        tn_slot_mine = slot;
        return slot;
    }
    return TN_SLOT_NONE;
}
