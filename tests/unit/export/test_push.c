/* The sender of bodies against a receiver that answers by script: order, retries, refusals, a full
 * queue, a receiver that is not there; accepted = delivered + rejected + dropped + buffered. */
#include "export/push.h"
#include "export/target.h"
#include "telemetry/metrics.h"

#include "receiver.h"

#include <time.h>

static uint64_t random_state = 1;

static uint64_t random_below(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % below;
}

struct desk {
    struct receiver receiver;
    struct tn_push *push;
    struct tn_metrics *metrics;
    size_t settled, stop_at; /* bodies */
    size_t verdicts[3];
};

static void on_settled(void *context, enum tn_verdict verdict, size_t items)
{
    struct desk *desk = context;
    (void)items;
    desk->verdicts[verdict]++;
    if (++desk->settled == desk->stop_at) {
        tn_loop_stop(desk->receiver.loop);
    }
}

static void desk_open(struct desk *desk, struct tn_push_options options, bool grpc)
{
    receiver_open(&desk->receiver, grpc ? "/test.Service/Export" : NULL);
    assert_int_equal(tn_metrics_create(&desk->metrics), TN_OK);
    struct tn_target target;
    struct tn_fault fault = {0};
    assert_int_equal(tn_target_parse(tn_str_from(desk->receiver.url), &target, &fault), TN_OK);
    options.loop = desk->receiver.loop;
    options.target = &target;
    options.grpc_path = TN_STR_OF("/test.Service/Export");
    options.pause_ns = TN_NS_PER_MS;
    options.pause_ns_max = 4 * TN_NS_PER_MS;
    options.metrics = desk->metrics;
    options.name = "test";
    options.settled = on_settled;
    options.context = desk;
    assert_int_equal(tn_push_create(&options, &desk->push, &fault), TN_OK);
}

static void desk_close(struct desk *desk)
{
    tn_push_destroy(desk->push);
    receiver_close(&desk->receiver);
    tn_metrics_destroy(desk->metrics);
}

static enum tn_err send_number(struct desk *desk, uint32_t number, size_t items)
{
    struct tn_block *body;
    assert_int_equal(tn_block_copy(tn_bytes_make(&number, sizeof(number)), &body), TN_OK);
    enum tn_err err = tn_push_send(desk->push, body, items);
    if (err != TN_OK) {
        tn_block_unref(body);
    }
    return err;
}

static uint32_t number_of(const struct receiver *receiver, size_t n)
{
    uint32_t number;
    assert_int_equal(receiver->bodies[n]->size, sizeof(number));
    memcpy(&number, receiver->bodies[n]->data, sizeof(number));
    return number;
}

static void bodies_arrive_once_and_in_order(void **unused)
{
    (void)unused;
    for (unsigned grpc = 0; grpc < 2; grpc++) {
        size_t live = tn_mem_live();
        struct desk desk = {.stop_at = 20};
        desk_open(&desk, (struct tn_push_options){.rules = TN_VERDICT_OTLP}, grpc != 0);
        for (uint32_t i = 0; i < 20; i++) {
            assert_int_equal(send_number(&desk, i, 10), TN_OK);
        }
        assert_int_equal(tn_push_count(desk.push).bodies, 20);
        receiver_run(&desk.receiver);
        assert_int_equal(desk.receiver.count, 20);
        for (uint32_t i = 0; i < 20; i++) {
            assert_int_equal(number_of(&desk.receiver, i), i);
        }
        struct tn_push_counts counts = tn_push_count(desk.push);
        assert_int_equal(counts.accepted, 200);
        assert_int_equal(counts.delivered, 200);
        assert_int_equal(counts.bodies, 0);
        assert_int_equal(desk.verdicts[TN_VERDICT_DELIVERED], 20);
        desk_close(&desk);
        assert_int_equal(tn_mem_live(), live);
    }
}

static unsigned http_script(struct receiver *receiver, size_t n)
{
    static const unsigned statuses[] = {500, 429, 503, 200, 400, 200, 404, 599, 200, 422};
    (void)receiver;
    return statuses[n % TN_COUNT(statuses)];
}

static void each_status_gets_what_the_standard_asks(void **unused)
{
    (void)unused;
    struct desk desk = {.stop_at = 6};
    desk.receiver.status = http_script;
    desk.receiver.retry_after = "0";
    desk_open(&desk, (struct tn_push_options){.rules = TN_VERDICT_REMOTE_WRITE}, false);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(send_number(&desk, i, 3), TN_OK);
    }
    receiver_run(&desk.receiver);
    /* 0: 500, 429, 503, 200. 1: 400. 2: 200. 3: 404. 4: 599, 200. 5: 422. */
    static const uint32_t order[] = {0, 0, 0, 0, 1, 2, 3, 4, 4, 5};
    assert_int_equal(desk.receiver.count, TN_COUNT(order));
    for (size_t i = 0; i < TN_COUNT(order); i++) {
        assert_int_equal(number_of(&desk.receiver, i), order[i]);
    }
    struct tn_push_counts counts = tn_push_count(desk.push);
    assert_int_equal(counts.delivered, 9);
    assert_int_equal(counts.rejected, 9);
    assert_int_equal(counts.retries, 4);
    desk_close(&desk);
}

static void retry_after_is_obeyed(void **unused)
{
    (void)unused;
    struct desk desk = {.stop_at = 1};
    desk.receiver.status = http_script; /* 500, 429, 503, 200 */
    desk.receiver.retry_after = "1";
    desk_open(&desk, (struct tn_push_options){.rules = TN_VERDICT_REMOTE_WRITE}, false);
    assert_int_equal(send_number(&desk, 0, 1), TN_OK);
    uint64_t start = tn_clock_mono_ns();
    receiver_run(&desk.receiver);
    assert_true(tn_clock_mono_ns() - start >= TN_NS_PER_S);
    desk_close(&desk);
}

static unsigned always_503(struct receiver *receiver, size_t n)
{
    (void)receiver, (void)n;
    return 503;
}

static void tries_end_and_the_body_is_dropped(void **unused)
{
    (void)unused;
    struct desk desk = {.stop_at = 2};
    desk.receiver.status = always_503;
    desk_open(&desk, (struct tn_push_options){.rules = TN_VERDICT_REMOTE_WRITE, .attempts_max = 3},
              false);
    assert_int_equal(send_number(&desk, 0, 5), TN_OK);
    assert_int_equal(send_number(&desk, 1, 7), TN_OK);
    receiver_run(&desk.receiver);
    assert_int_equal(desk.receiver.count, 6);
    assert_int_equal(tn_push_count(desk.push).dropped, 12);
    assert_int_equal(tn_push_count(desk.push).retries, 4);
    assert_int_equal(desk.verdicts[TN_VERDICT_RETRY], 2);
    desk_close(&desk);
}

static void a_full_queue_drops_its_oldest_or_refuses(void **unused)
{
    (void)unused;
    for (unsigned refuse = 0; refuse < 2; refuse++) {
        struct desk desk = {.stop_at = 3};
        desk_open(&desk, (struct tn_push_options){.bodies_max = 3, .refuse_when_full = refuse != 0},
                  false);
        for (uint32_t i = 0; i < 10; i++) {
            assert_int_equal(send_number(&desk, i, 1), refuse != 0 && i >= 3 ? TN_LIMIT : TN_OK);
        }
        receiver_run(&desk.receiver);
        assert_int_equal(desk.receiver.count, 3);
        assert_int_equal(number_of(&desk.receiver, 0), refuse != 0 ? 0 : 7);
        assert_int_equal(number_of(&desk.receiver, 2), refuse != 0 ? 2 : 9);
        struct tn_push_counts counts = tn_push_count(desk.push);
        assert_int_equal(counts.accepted, refuse != 0 ? 3 : 10);
        assert_int_equal(counts.dropped, refuse != 0 ? 0 : 7);
        desk_close(&desk);
    }
    struct desk desk = {0};
    desk_open(&desk, (struct tn_push_options){.bytes_max = 3}, false);
    assert_int_equal(send_number(&desk, 0, 1), TN_LIMIT);
    assert_int_equal(tn_push_count(desk.push).accepted, 0);
    desk_close(&desk);
}

static unsigned random_script(struct receiver *receiver, size_t n)
{
    static const unsigned http[] = {200, 200, 200, 500, 503, 429, 400, 404};
    static const unsigned grpc[] = {0, 0, 0, 14, 4, 13, 8, 3};
    (void)n;
    struct desk *desk = TN_CONTAINER(receiver, struct desk, receiver);
    /* More comes in while others are on their way. */
    for (uint64_t more = random_below(3); more > 0 && desk->stop_at < 400; more--) {
        uint32_t number = (uint32_t)desk->stop_at++;
        enum tn_err err = send_number(desk, number, number % 17);
        assert_int_equal(err, TN_OK);
    }
    bool is_grpc = strncmp(receiver->url, "grpc", 4) == 0;
    return (is_grpc ? grpc : http)[random_below(8)];
}

static void any_script_keeps_the_balance(void **unused)
{
    (void)unused;
    for (unsigned round = 0; round < 8; round++) {
        struct desk desk = {.stop_at = 2};
        desk.receiver.status = random_script;
        desk_open(&desk,
                  (struct tn_push_options){.rules = (enum tn_verdict_rules)(round / 2 % 2),
                                           .attempts_max = 2 + round % 3,
                                           .bodies_max = 500},
                  round % 2 != 0);
        assert_int_equal(send_number(&desk, 0, 0), TN_OK);
        assert_int_equal(send_number(&desk, 1, 1), TN_OK);
        receiver_run(&desk.receiver);
        struct tn_push_counts counts = tn_push_count(desk.push);
        uint64_t accepted = 0;
        for (size_t i = 0; i < desk.stop_at; i++) {
            accepted += i % 17;
        }
        assert_int_equal(counts.accepted, accepted);
        assert_int_equal(counts.delivered + counts.rejected + counts.dropped, accepted);
        assert_int_equal(desk.settled, desk.stop_at);
        for (size_t i = 1; i < desk.receiver.count; i++) {
            uint32_t a = number_of(&desk.receiver, i - 1), b = number_of(&desk.receiver, i);
            assert_true(b == a || b == a + 1); /* again, or the next one: never out of order */
        }
        desk_close(&desk);
    }
}

static void nobody_listens_and_then_somebody_does(void **unused)
{
    (void)unused;
    struct desk desk = {.stop_at = 1};
    receiver_open(&desk.receiver, NULL);
    tn_server_destroy(desk.receiver.server); /* its port is free again, and silent */
    desk.receiver.server = NULL;
    struct tn_target target;
    assert_int_equal(tn_target_parse(tn_str_from(desk.receiver.url), &target, NULL), TN_OK);
    struct tn_push_options options = {.loop = desk.receiver.loop,
                                      .target = &target,
                                      .pause_ns = TN_NS_PER_MS,
                                      .pause_ns_max = 4 * TN_NS_PER_MS,
                                      .attempts_max = 4,
                                      .settled = on_settled,
                                      .context = &desk};
    assert_int_equal(tn_push_create(&options, &desk.push, NULL), TN_OK);
    assert_int_equal(send_number(&desk, 0, 5), TN_OK);
    receiver_run(&desk.receiver);
    assert_int_equal(tn_push_count(desk.push).dropped, 5);
    assert_int_equal(tn_push_count(desk.push).retries, 3);
    tn_push_destroy(desk.push);
    receiver_close(&desk.receiver);
}

static void creation_refuses_and_survives(void **unused)
{
    (void)unused;
    struct receiver receiver = {0};
    receiver_open(&receiver, NULL);
    struct tn_target target;
    assert_int_equal(tn_target_parse(tn_str_from(receiver.url), &target, NULL), TN_OK);
    struct tn_header broken = {TN_STR("x y"), TN_STR("z")};
    struct tn_header split = {TN_STR("x"), TN_STR("a\r\nb: c")};
    struct tn_push_options options = {
        .loop = receiver.loop, .target = &target, .headers = &broken, .header_count = 1};
    struct tn_push *push = NULL;
    assert_int_equal(tn_push_create(&options, &push, NULL), TN_INVALID);
    options.headers = &split;
    assert_int_equal(tn_push_create(&options, &push, NULL), TN_INVALID);
    options.header_count = 0;
    size_t n = 1;
    size_t live = tn_mem_live();
    for (bool delivered = true; delivered; n++) {
        struct tn_metrics *metrics;
        assert_int_equal(tn_metrics_create(&metrics), TN_OK);
        options.metrics = metrics;
        options.name = "test";
        struct tn_fault fault = {0};
        tn_mem_fail_from(n, n % 2 == 0);
        enum tn_err err = tn_push_create(&options, &push, &fault);
        delivered = tn_mem_fail_delivered();
        tn_mem_fail_from(0, false);
        assert_int_equal(err, delivered ? TN_NOMEM : TN_OK);
        assert_true((push == NULL) == delivered);
        tn_push_destroy(push);
        push = NULL;
        tn_metrics_destroy(metrics);
        assert_int_equal(tn_mem_live(), live);
    }
    assert_true(n > 10);
    receiver_close(&receiver);
}

int main(void)
{
    random_state = (uint64_t)time(NULL) | 1;
    const char *seed = getenv("TN_SEED");
    if (seed != NULL) {
        random_state = strtoull(seed, NULL, 10) | 1;
    }
    printf("seed: TN_SEED=%llu\n", (unsigned long long)random_state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_arrive_once_and_in_order),
        cmocka_unit_test(each_status_gets_what_the_standard_asks),
        cmocka_unit_test(retry_after_is_obeyed),
        cmocka_unit_test(tries_end_and_the_body_is_dropped),
        cmocka_unit_test(a_full_queue_drops_its_oldest_or_refuses),
        cmocka_unit_test(any_script_keeps_the_balance),
        cmocka_unit_test(nobody_listens_and_then_somebody_does),
        cmocka_unit_test(creation_refuses_and_survives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
