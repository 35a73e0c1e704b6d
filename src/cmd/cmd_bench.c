/* `tenon bench`: loads a model on a server and says how long answers took.
 *
 *   closed loop (default)  CONCURRENCY requests are always under way
 *   open loop (--rate)     requests begin by the clock, whether answers come or not; each latency
 *                          counts from the instant at which the request was due, so a server that
 *                          stalls is charged for the requests that it kept waiting (coordinated
 *                          omission: G. Tene, "How NOT to Measure Latency")
 *
 * State: WARMUP -> MEASURE -> DRAIN -> done. Every answer must have status OK and, unless
 * --no-verify, the same bytes as the first. Memory: a slot a request under way. Threads: one loop.
 */
#include "base/clock.h"
#include "base/progress.h"
#include "cmd/command.h"
#include "cmd/load_report.h"
#include "cmd/question.h"
#include "cmd/target.h"
#include "core/assert.h"

#include <stdio.h>
#include <sysexits.h>

enum { CONNECTIONS_MAX = 256, IN_FLIGHT_MAX = 65536 };

struct options {
    struct tn_target target;
    struct tn_question_options question;
    uint32_t concurrency;
    uint32_t connections;
    double rate;
    uint64_t duration_ns;
    uint64_t warmup_ns;
    bool verify;
    bool json;
};

static const struct tn_option rows[] = {
    TN_QUESTION_OPTIONS(struct options),
    {.name = "concurrency",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct options, concurrency),
     .fallback = "32",
     .letter = 'c',
     .min = 1,
     .max = IN_FLIGHT_MAX,
     .help = "requests under way at once, over all connections"},
    {.name = "connections",
     .kind = TN_OPTION_UINT,
     TN_OPTION_AT(struct options, connections),
     .fallback = "4",
     .min = 1,
     .max = CONNECTIONS_MAX,
     .help = "HTTP/2 connections"},
    {.name = "rate",
     .kind = TN_OPTION_FLOAT,
     TN_OPTION_AT(struct options, rate),
     .help = "requests a second, begun by the clock; 0: as fast as answers come"},
    {.name = "duration",
     .kind = TN_OPTION_DURATION,
     TN_OPTION_AT(struct options, duration_ns),
     .fallback = "10s",
     .letter = 'd',
     .min = 1,
     .help = "how long to measure"},
    {.name = "warmup",
     .kind = TN_OPTION_DURATION,
     TN_OPTION_AT(struct options, warmup_ns),
     .fallback = "1s",
     .help = "how long to load before measuring"},
    {.name = "verify",
     .kind = TN_OPTION_BOOL,
     TN_OPTION_AT(struct options, verify),
     .fallback = "true",
     .help = "compare every answer with the first"},
    {.name = "json",
     .kind = TN_OPTION_BOOL,
     TN_OPTION_AT(struct options, json),
     .help = "print one JSON object instead of a table"},
    TN_TARGET_OPTIONS(struct options),
};
static const struct tn_option_table table = TN_OPTION_TABLE(struct options, rows);

static const struct tn_args_example examples[] = {
    {"tenon bench simple -i INPUT0=ones -i INPUT1=ones", "how much a server answers"},
    {"tenon bench silero_vad -i input=random --rate 500 -d 30s", "what users wait at 500/s"},
    {"tenon bench ocr_cls -i x=@line.png -c 8 --json", "for a script"},
    {NULL, NULL},
};

static const struct tn_args_command command = {
    .name = "bench",
    .summary = "load a model, and print throughput and latency percentiles",
    .description = "Without --rate the load is a closed loop: a slow server is asked less, so the "
                   "latencies are those of the requests that were sent. With --rate they are those "
                   "that users would see who do not wait for each other.",
    .options = &table,
    .examples = examples,
    .no_config = true,
};

enum phase { PHASE_WARMUP, PHASE_MEASURE, PHASE_DRAIN };

struct slot {
    struct bench *bench;
    struct slot *next; /* free list */
    uint64_t due_ns;
    size_t answered; /* bytes */
    bool wrong;
};

struct bench {
    const struct options *options;
    struct tn_loop *loop;
    struct tn_client *clients[CONNECTIONS_MAX];
    size_t next_client;
    struct tn_bytes message; /* request, encoded once */
    struct tn_header authorization;
    struct slot *slots;
    struct slot *idle;
    size_t under_way;
    enum phase phase;
    struct tn_timer tick;
    uint64_t begun_ns;   /* of the load */
    uint64_t measure_ns; /* begin of measuring */
    uint64_t end_ns;
    uint64_t due_count;     /* open loop: requests begun or given up so far */
    struct tn_block *first; /* the answer that others must equal */
    struct tn_load_report report;
    struct tn_progress *progress;
};

static void begin_one(struct bench *bench, uint64_t due_ns);

static void on_message(void *user, struct tn_client_call *call, struct tn_block *message)
{
    (void)call;
    struct slot *slot = user;
    struct bench *bench = slot->bench;
    slot->answered += message->size;
    if (!bench->options->verify) {
        return;
    }
    if (bench->first == NULL) {
        bench->first = tn_block_ref(message);
    }
    slot->wrong = !tn_bytes_equal(tn_bytes_make(bench->first->data, bench->first->size),
                                  tn_bytes_make(message->data, message->size));
}

static void on_ended(void *user, struct tn_client_call *call, const struct tn_client_end *end)
{
    (void)call;
    struct slot *slot = user;
    struct bench *bench = slot->bench;
    uint64_t now_ns = tn_clock_mono_ns();
    if (bench->phase == PHASE_MEASURE) {
        tn_load_report_add(&bench->report,
                           &(struct tn_load_sample){.latency_ns = now_ns - slot->due_ns,
                                                    .bytes = slot->answered,
                                                    .status = end->grpc_status,
                                                    .wrong = slot->wrong,
                                                    .text = end->message});
    }
    slot->next = bench->idle;
    bench->idle = slot;
    bench->under_way--;
    if (bench->phase == PHASE_DRAIN) {
        if (bench->under_way == 0) {
            tn_loop_stop(bench->loop);
        }
        return;
    }
    /* A server that is gone answers at once with an error: begin again on the tick, not in a spin.
     */
    if (bench->options->rate == 0.0 && end->err == TN_OK) {
        begin_one(bench, now_ns);
    }
}

static const struct tn_client_events events = {.message = on_message, .ended = on_ended};

static enum tn_err start_call(struct bench *bench, struct slot *slot)
{
    struct tn_client *client = bench->clients[bench->next_client++ % bench->options->connections];
    struct tn_client_call *call = NULL;
    enum tn_err err = tn_client_start(
        client,
        &(struct tn_client_request){.kind = TN_CALL_GRPC,
                                    .path = tn_str_from(tn_session_method("ModelInfer")->path),
                                    .headers = &bench->authorization,
                                    .header_count = bench->authorization.value.size > 0 ? 1 : 0,
                                    .deadline_ns =
                                        bench->options->target.timeout_ns > 0
                                            ? tn_clock_mono_ns() + bench->options->target.timeout_ns
                                            : 0,
                                    .events = &events,
                                    .user = slot},
        &call);
    if (err != TN_OK) {
        return err;
    }
    struct tn_piece piece = {.bytes = bench->message};
    if (tn_client_send(call, &piece, 1, true) < TN_OK) {
        tn_client_cancel(call); /* `ended` comes */
    }
    return TN_OK;
}

static void begin_one(struct bench *bench, uint64_t due_ns)
{
    struct slot *slot = bench->idle;
    if (slot == NULL) {
        bench->report.given_up++;
        return;
    }
    bench->idle = slot->next;
    *slot = (struct slot){.bench = bench, .due_ns = due_ns};
    if (start_call(bench, slot) == TN_OK) {
        bench->under_way++;
        return;
    }
    bench->report.given_up++;
    slot->next = bench->idle;
    bench->idle = slot;
}

/* Begins what is due by the clock, or fills a closed loop up again. */
static void begin_due(struct bench *bench, uint64_t now_ns)
{
    if (bench->options->rate == 0.0) {
        while (bench->idle != NULL && bench->under_way < bench->options->concurrency) {
            size_t before = bench->under_way;
            begin_one(bench, now_ns);
            if (bench->under_way == before) {
                return;
            }
        }
        return;
    }
    double gap_ns = 1e9 / bench->options->rate;
    for (;;) {
        uint64_t due_ns = bench->begun_ns + (uint64_t)((double)bench->due_count * gap_ns);
        if (due_ns > now_ns) {
            return;
        }
        bench->due_count++;
        begin_one(bench, due_ns);
    }
}

static void on_tick(struct tn_timer *timer)
{
    struct bench *bench = TN_CONTAINER(timer, struct bench, tick);
    uint64_t now_ns = tn_clock_mono_ns();
    if (bench->phase == PHASE_WARMUP && now_ns >= bench->measure_ns) {
        bench->phase = PHASE_MEASURE;
        bench->measure_ns = now_ns;
        bench->report.given_up = 0;
    }
    if (bench->phase == PHASE_MEASURE && now_ns >= bench->end_ns) {
        bench->phase = PHASE_DRAIN;
        bench->report.measured_ns = now_ns - bench->measure_ns;
        if (bench->under_way == 0) {
            tn_loop_stop(bench->loop);
        }
        return;
    }
    begin_due(bench, now_ns);
    tn_progress_set(bench->progress, now_ns - bench->begun_ns);
    tn_timer_arm(timer, now_ns + (bench->options->rate > 0.0 ? TN_NS_PER_MS / 4 : TN_NS_PER_MS));
}

static enum tn_err connect_all(struct bench *bench, const struct tn_session *session,
                               struct tn_fault *fault)
{
    for (uint32_t i = 0; i < bench->options->connections; i++) {
        enum tn_err err = tn_client_create(&(struct tn_client_options){.loop = session->loop,
                                                                       .target = session->target,
                                                                       .protocol = TN_CLIENT_HTTP2,
                                                                       .tls = session->tls,
                                                                       .calls_max = IN_FLIGHT_MAX},
                                           &bench->clients[i], fault);
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}

static enum tn_err take_slots(struct bench *bench, struct tn_arena *arena, struct tn_fault *fault)
{
    size_t count = bench->options->rate > 0.0 ? IN_FLIGHT_MAX : bench->options->concurrency;
    bench->slots = TN_ARENA_ARRAY(arena, struct slot, count);
    if (bench->slots == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for %zu requests", count);
    }
    for (size_t i = 0; i < count; i++) {
        bench->slots[i].next = bench->idle;
        bench->idle = &bench->slots[i];
    }
    return TN_OK;
}

static enum tn_err load(struct bench *bench, struct tn_session *session, struct tn_arena *arena,
                        struct tn_fault *fault)
{
    struct tn_question question;
    enum tn_err err = tn_question_read(&bench->options->question, session, arena, &question, fault);
    if (err != TN_OK) {
        return err;
    }
    struct tn_tensor inputs[TN_TENSORS_MAX];
    struct tn_exchange exchange = tn_question_request(&question, 0, inputs);
    exchange.sequence_id = 0; /* each request stands alone: what is measured is the model */
    err = tn_exchange_encode(&exchange, arena, &bench->message, fault);
    if (err == TN_OK) {
        err = take_slots(bench, arena, fault);
    }
    if (err == TN_OK) {
        err = connect_all(bench, session, fault);
    }
    if (err != TN_OK) {
        return err;
    }
    bench->loop = session->loop;
    bench->begun_ns = tn_clock_mono_ns();
    bench->measure_ns = bench->begun_ns + bench->options->warmup_ns;
    bench->end_ns = bench->measure_ns + bench->options->duration_ns;
    tn_timer_init(&bench->tick, session->loop, on_tick);
    tn_timer_arm(&bench->tick, bench->begun_ns);
    tn_loop_run(session->loop);
    tn_timer_disarm(&bench->tick);
    return TN_OK;
}

static int run(const void *given, struct tn_arena *arena)
{
    const struct options *options = given;
    struct bench *bench = TN_ARENA_NEW(arena, struct bench);
    struct tn_session session = {0};
    struct tn_fault fault = {0};
    if (bench == NULL) {
        (void)tn_fault_set(&fault, TN_NOMEM, "no memory");
        return tn_command_fail(command.name, &fault);
    }
    bench->options = options;
    enum tn_err err = tn_load_report_init(&bench->report, options->rate > 0.0);
    if (err == TN_OK) {
        err = tn_target_open(&options->target, arena, &session, &fault);
    }
    if (err == TN_OK) {
        bench->authorization =
            (struct tn_header){TN_STR("authorization"), tn_str_from(session.authorization)};
        bench->progress =
            tn_progress_begin_time(arena, options->question.model,
                                   options->warmup_ns + options->duration_ns, !options->json);
        err = load(bench, &session, arena, &fault);
        tn_progress_end(bench->progress);
    }
    for (uint32_t i = 0; i < options->connections; i++) {
        tn_client_destroy(bench->clients[i]);
    }
    tn_session_deinit(&session);
    tn_block_unref(bench->first);
    bool failed = false;
    if (err == TN_OK) {
        failed = options->json ? tn_load_report_json(&bench->report, stdout)
                               : tn_load_report_table(&bench->report, stdout);
    }
    tn_load_report_deinit(&bench->report);
    if (err != TN_OK) {
        return tn_command_fail(command.name, &fault);
    }
    return failed ? EX_UNAVAILABLE : EX_OK;
}

const struct tn_command tn_cmd_bench = {
    .args = &command,
    .options_size = sizeof(struct options),
    .run = run,
};
