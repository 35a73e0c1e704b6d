/* What it costs to hand work from one thread to another, and to arm a timer. CPU time of the whole
 * process per item, best of several rounds, since the machine is shared. The peer is the usual
 * queue: a mutex, a condition variable, a ring.
 *
 * Usage: bench_base_chan [results.jsonl]
 * Memory: heap. Threads: two at a time. Bounds: about five seconds. */
#include "base/clock.h"
#include "base/loop.h"
#include "base/thread.h"
#include "core/assert.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ROUNDS = 5,
    BURST = 512,
    ITEMS = BURST * 2000,
    PINGS = 20000,
    BATCH = 32,
    CAPACITY = BURST,
    TIMERS = 10000
};

static FILE *results;

static void record(const char *figure, double value, double peer)
{
    char peer_text[96] = "";
    printf("base.chan  %-34s %9.1f ns", figure, value);
    if (peer > 0) {
        printf("   mutex and condition variable: %9.1f (%.1fx)", peer, peer / value);
        snprintf(peer_text, sizeof(peer_text),
                 ",\"peer\":\"mutex_cond\",\"peer_value\":%.1f,\"ratio\":%.2f", peer, peer / value);
    }
    printf("\n");
    if (results != NULL) {
        fprintf(results,
                "{\"bench\":\"base.chan\",\"figure\":\"%s\",\"value\":%.1f,\"unit\":\"ns\","
                "\"better\":\"lower\"%s}\n",
                figure, value, peer_text);
    }
}

/* Best CPU time of the process per item over the rounds. */
static double best_ns(void (*run)(size_t items), size_t items)
{
    double best = 1e18;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t start = tn_clock_process_ns();
        run(items);
        double each = (double)(tn_clock_process_ns() - start) / (double)items;
        best = each < best ? each : best;
    }
    return best;
}

static void must(enum tn_err err)
{
    TN_ASSERT(err >= 0);
}

/* ---- one thread ---- */

static void no_wake(void *context)
{
    (void)context;
}

static void run_alone(size_t items)
{
    struct tn_chan chan;
    void *out[BATCH];
    must(tn_chan_init(&chan, CAPACITY, (struct tn_waker){.wake = no_wake}));
    for (size_t i = 0; i < items; i += BATCH) {
        for (size_t k = 0; k < BATCH; k++) {
            must(tn_chan_push(&chan, &chan));
        }
        TN_ASSERT(tn_chan_drain(&chan, out, BATCH) == BATCH);
    }
    tn_chan_deinit(&chan);
}

/* ---- two threads ---- */

/* Items go in bursts that fit, and the consumer answers each burst: so nobody spins at a full ring,
 * which would be measured instead. */
static struct tn_chan chan, back;
static struct tn_parker parker, back_parker;

static void consume(void *context)
{
    size_t left = *(const size_t *)context;
    void *out[256];
    while (left > 0) {
        size_t got = tn_chan_drain(&chan, out, 256);
        left -= got;
        if (got > 0 && left % BURST == 0) {
            must(tn_chan_push(&back, &back));
        }
        if (got == 0 && tn_chan_sleep(&chan)) {
            tn_parker_wait(&parker, UINT64_MAX);
        }
    }
}

static void *take_one(struct tn_chan *from, struct tn_parker *own)
{
    void *item = NULL;
    while (tn_chan_drain(from, &item, 1) == 0) {
        if (tn_chan_sleep(from)) {
            tn_parker_wait(own, UINT64_MAX);
        }
    }
    return item;
}

static void produce(struct tn_chan *into, size_t items, size_t batch)
{
    for (size_t i = 0; i < items; i += BURST) {
        for (size_t k = 0; k < BURST; k++) {
            must(batch == 1 ? tn_chan_push(into, into) : tn_chan_push_quiet(into, into));
            if (batch > 1 && k % batch == batch - 1) {
                tn_chan_wake(into);
            }
        }
        take_one(&back, &back_parker);
    }
}

static void open_back(void)
{
    tn_parker_init(&back_parker);
    must(tn_chan_init(&back, 4, tn_parker_waker(&back_parker)));
}

static void run_pair(size_t items, size_t batch)
{
    struct tn_thread thread;
    tn_parker_init(&parker);
    open_back();
    must(tn_chan_init(&chan, BURST, tn_parker_waker(&parker)));
    must(tn_thread_start(&thread, NULL, consume, &items, NULL));
    produce(&chan, items, batch);
    tn_thread_join(&thread);
    tn_chan_deinit(&chan);
    tn_chan_deinit(&back);
}

static void run_pair_single(size_t items)
{
    run_pair(items, 1);
}

static void run_pair_batch(size_t items)
{
    run_pair(items, BATCH);
}

static void run_pair_burst(size_t items)
{
    run_pair(items, BURST);
}

/* ---- a loop ---- */

struct counting {
    struct tn_inbox inbox;
    size_t left;
};

static void count_down(struct tn_inbox *inbox, void **items, size_t count)
{
    (void)items;
    struct counting *counting = TN_CONTAINER(inbox, struct counting, inbox);
    counting->left -= count;
    if (counting->left % BURST == 0) {
        must(tn_chan_push(&back, &back));
    }
    if (counting->left == 0) {
        tn_loop_stop(inbox->loop);
    }
}

static void run_loop(size_t items, size_t batch)
{
    struct tn_loop *loop;
    struct counting counting = {.left = items};
    open_back();
    must(tn_loop_create("bench", &loop, NULL));
    must(tn_inbox_init(&counting.inbox, loop, BURST, count_down));
    must(tn_loop_start(loop, NULL));
    produce(&counting.inbox.chan, items, batch);
    tn_loop_join(loop);
    tn_inbox_deinit(&counting.inbox);
    tn_loop_destroy(loop);
    tn_chan_deinit(&back);
}

static void run_loop_single(size_t items)
{
    run_loop(items, 1);
}

static void run_loop_batch(size_t items)
{
    run_loop(items, BATCH);
}

/* ---- there and back, one at a time: two wake-ups ---- */

static void echo(void *context)
{
    for (size_t left = *(const size_t *)context; left > 0; left--) {
        must(tn_chan_push(&back, take_one(&chan, &parker)));
    }
}

static void run_ping(size_t items)
{
    struct tn_thread thread;
    tn_parker_init(&parker);
    open_back();
    must(tn_chan_init(&chan, 2, tn_parker_waker(&parker)));
    must(tn_thread_start(&thread, NULL, echo, &items, NULL));
    for (size_t i = 0; i < items; i++) {
        must(tn_chan_push(&chan, &chan));
        take_one(&back, &back_parker);
    }
    tn_thread_join(&thread);
    tn_chan_deinit(&chan);
    tn_chan_deinit(&back);
}

static void echo_inbox(struct tn_inbox *inbox, void **items, size_t count)
{
    (void)inbox;
    for (size_t i = 0; i < count; i++) {
        must(tn_chan_push(&back, items[i]));
    }
}

static void run_loop_ping(size_t items)
{
    struct tn_loop *loop;
    struct tn_inbox inbox;
    open_back();
    must(tn_loop_create("bench", &loop, NULL));
    must(tn_inbox_init(&inbox, loop, 2, echo_inbox));
    must(tn_loop_start(loop, NULL));
    for (size_t i = 0; i < items; i++) {
        must(tn_chan_push(&inbox.chan, &back));
        take_one(&back, &back_parker);
    }
    tn_loop_stop(loop);
    tn_loop_join(loop);
    tn_inbox_deinit(&inbox);
    tn_loop_destroy(loop);
    tn_chan_deinit(&back);
}

/* ---- the peer ---- */

struct locked {
    pthread_mutex_t mutex;
    pthread_cond_t filled, emptied;
    void *ring[CAPACITY];
    size_t head, tail;
};

static struct locked there = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                              PTHREAD_COND_INITIALIZER};
static struct locked here = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER,
                             PTHREAD_COND_INITIALIZER};

static void locked_push(struct locked *queue, void *item)
{
    pthread_mutex_lock(&queue->mutex);
    while (queue->tail - queue->head == CAPACITY) {
        pthread_cond_wait(&queue->emptied, &queue->mutex);
    }
    queue->ring[queue->tail++ % CAPACITY] = item;
    pthread_mutex_unlock(&queue->mutex);
    pthread_cond_signal(&queue->filled);
}

static void *locked_pop(struct locked *queue)
{
    pthread_mutex_lock(&queue->mutex);
    while (queue->tail == queue->head) {
        pthread_cond_wait(&queue->filled, &queue->mutex);
    }
    void *item = queue->ring[queue->head++ % CAPACITY];
    pthread_mutex_unlock(&queue->mutex);
    pthread_cond_signal(&queue->emptied);
    return item;
}

static void locked_consume(void *context)
{
    for (size_t left = *(const size_t *)context; left > 0; left--) {
        locked_pop(&there);
        if ((left - 1) % BURST == 0) {
            locked_push(&here, &here);
        }
    }
}

static void run_locked(size_t items)
{
    struct tn_thread thread;
    must(tn_thread_start(&thread, NULL, locked_consume, &items, NULL));
    for (size_t i = 0; i < items; i += BURST) {
        for (size_t k = 0; k < BURST; k++) {
            locked_push(&there, &there);
        }
        locked_pop(&here);
    }
    tn_thread_join(&thread);
}

static void locked_echo(void *context)
{
    for (size_t left = *(const size_t *)context; left > 0; left--) {
        locked_push(&here, locked_pop(&there));
    }
}

static void run_locked_ping(size_t items)
{
    struct tn_thread thread;
    must(tn_thread_start(&thread, NULL, locked_echo, &items, NULL));
    for (size_t i = 0; i < items; i++) {
        locked_push(&there, &there);
        locked_pop(&here);
    }
    tn_thread_join(&thread);
}

/* ---- timers: a deadline per request, armed and disarmed among 10,000 others ---- */

static struct tn_timer timers[TIMERS];

static void run_timers(size_t items)
{
    struct tn_loop *loop;
    must(tn_loop_create("bench", &loop, NULL));
    uint64_t now = tn_clock_mono_ns();
    for (size_t i = 0; i < TIMERS; i++) {
        tn_timer_init(&timers[i], loop, NULL);
        tn_timer_arm(&timers[i], now + 1000 * TN_NS_PER_S + i * 7919 % TIMERS);
    }
    for (size_t i = 0; i < items; i++) {
        tn_timer_arm(&timers[i * 6007 % TIMERS], now + 1000 * TN_NS_PER_S + i);
    }
    for (size_t i = 0; i < TIMERS; i++) {
        tn_timer_disarm(&timers[i]);
    }
    tn_loop_destroy(loop);
}

int main(int argc, char **argv)
{
    results = argc > 1 ? fopen(argv[1], "a") : NULL;
    record("push_and_drain_one_thread", best_ns(run_alone, ITEMS), 0);
    double locked = best_ns(run_locked, ITEMS);
    record("to_thread_each", best_ns(run_pair_single, ITEMS), locked);
    record("to_thread_by_32", best_ns(run_pair_batch, ITEMS), locked);
    record("to_thread_by_512", best_ns(run_pair_burst, ITEMS), locked);
    record("to_loop_each", best_ns(run_loop_single, ITEMS), locked);
    record("to_loop_by_32", best_ns(run_loop_batch, ITEMS), locked);
    double locked_ping = best_ns(run_locked_ping, PINGS);
    record("thread_there_and_back", best_ns(run_ping, PINGS), locked_ping);
    record("loop_there_and_back", best_ns(run_loop_ping, PINGS), locked_ping);
    record("timer_rearm_among_10000", best_ns(run_timers, ITEMS), 0);
    if (results != NULL) {
        fclose(results);
    }
    return 0;
}
