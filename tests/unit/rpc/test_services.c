/* Health checking and reflection by our own client over a real socket: Check, List, Watch with
 * changes from another thread, both versions of reflection, and what they do not know. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "proto/health.pb.h"
#include "proto/reflection.pb.h"
#include "rpc/client.h"
#include "rpc/health.h"
#include "rpc/reflection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* A server on its thread, a client on the test's. */
static struct site {
    struct tn_loop *server_loop, *client_loop;
    struct tn_server *server;
    struct tn_health *health;
    struct tn_reflection *reflection;
    struct tn_client *client;
    struct tn_timer late;
    struct tn_client_call *call;
    struct tn_block *messages[32];
    size_t message_count, message_goal;
    bool ended;
    enum tn_grpc_status status;
    struct tn_arena arena;
} site;

static void on_message(void *user, struct tn_client_call *call, struct tn_block *message)
{
    (void)user;
    (void)call;
    assert_true(site.message_count < TN_COUNT(site.messages));
    site.messages[site.message_count++] = tn_block_ref(message);
    if (site.message_count == site.message_goal) {
        tn_loop_stop(site.client_loop);
    }
}

static void on_ended(void *user, struct tn_client_call *call, const struct tn_client_end *end)
{
    (void)user;
    (void)call;
    site.ended = true;
    site.status = end->grpc_status;
    site.call = NULL;
    tn_loop_stop(site.client_loop);
}

static const struct tn_client_events events = {.message = on_message, .ended = on_ended};

static void on_late(struct tn_timer *timer)
{
    (void)timer;
    tn_loop_stop(site.client_loop);
}

static void open_site(void)
{
    memset(&site, 0, sizeof(site));
    const struct tn_arena_options arena = {.source = tn_mem_source()};
    tn_arena_init(&site.arena, &arena);
    assert_int_equal(tn_loop_create("server", &site.server_loop, NULL), TN_OK);
    assert_int_equal(tn_loop_create("client", &site.client_loop, NULL), TN_OK);
    const struct tn_server_options options = {.loops = &site.server_loop, .loop_count = 1};
    assert_int_equal(tn_server_create(&options, &site.server, NULL), TN_OK);
    static const struct tn_pb_file *const files[] = {&tn_grpc_health_file};
    assert_int_equal(tn_health_create(site.server, &site.health), TN_OK);
    assert_int_equal(tn_reflection_create(site.server, files, 1, &site.reflection), TN_OK);
    const struct tn_listen_options listen = {0};
    unsigned port = 0;
    assert_int_equal(tn_server_listen(site.server, &listen, &port, NULL), TN_OK);
    char target[32];
    snprintf(target, sizeof(target), "127.0.0.1:%u", port);
    const struct tn_client_options client = {.loop = site.client_loop, .target = target};
    assert_int_equal(tn_client_create(&client, &site.client, NULL), TN_OK);
    tn_timer_init(&site.late, site.client_loop, on_late);
    assert_int_equal(tn_loop_start(site.server_loop, NULL), TN_OK);
}

static void drop_messages(void)
{
    for (size_t i = 0; i < site.message_count; i++) {
        tn_block_unref(site.messages[i]);
    }
    site.message_count = 0;
}

static void close_site(size_t live)
{
    tn_client_destroy(site.client);
    drop_messages();
    tn_loop_stop(site.server_loop);
    tn_loop_join(site.server_loop);
    tn_server_destroy(site.server);
    tn_health_destroy(site.health);
    tn_reflection_destroy(site.reflection);
    tn_timer_disarm(&site.late);
    tn_loop_destroy(site.server_loop);
    tn_loop_destroy(site.client_loop);
    tn_arena_deinit(&site.arena);
    assert_int_equal(tn_mem_live(), live);
}

static void begin(const char *path)
{
    const struct tn_client_request request = {
        .kind = TN_CALL_GRPC, .path = tn_str_from(path), .events = &events};
    drop_messages();
    site.ended = false;
    assert_int_equal(tn_client_start(site.client, &request, &site.call), TN_OK);
}

static void say(const struct tn_pb_message *message, const void *object, bool last)
{
    size_t size = tn_pb_size(message, object);
    struct tn_block *block = NULL;
    assert_int_equal(tn_block_create(size, &block), TN_OK);
    tn_pb_encode(message, object, block->data, size);
    block->size = size;
    struct tn_piece piece = {tn_bytes_make(block->data, size), block};
    assert_int_equal(tn_client_send(site.call, &piece, 1, last), TN_OK);
}

/* Until so many messages came, or the call ended (0: until it ended). */
static void wait_for(size_t messages)
{
    site.message_goal = messages;
    if ((messages == 0 || site.message_count < messages) && !site.ended) {
        tn_timer_arm(&site.late, tn_clock_mono_ns() + 5 * TN_NS_PER_S);
        tn_loop_run(site.client_loop);
    }
    assert_true(messages == 0 ? site.ended : site.message_count >= messages);
}

static void *heard(const struct tn_pb_message *message, size_t index)
{
    assert_true(index < site.message_count);
    struct tn_block *block = site.messages[index];
    void *object = tn_arena_take_zeroed(&site.arena, 1, message->size, 16);
    assert_int_equal(
        tn_pb_decode(message, tn_bytes_make(block->data, block->size), &site.arena, object), TN_OK);
    return object;
}

static int32_t heard_status(size_t index)
{
    struct tn_grpc_health_check_response *response =
        heard(&tn_grpc_health_check_response_pb, index);
    return response->status;
}

/* ---- health ---- */

static void ask_health(const char *method, const char *service)
{
    char path[64];
    snprintf(path, sizeof(path), "/grpc.health.v1.Health/%s", method);
    const struct tn_grpc_health_check_request request = {.service = tn_str_from(service)};
    begin(path);
    say(&tn_grpc_health_check_request_pb, &request, true);
}

static void check_tells_each_service(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    open_site();
    ask_health("Check", "");
    wait_for(0);
    assert_int_equal(site.status, TN_GRPC_OK);
    assert_int_equal(heard_status(0), TN_GRPC_HEALTH_CHECK_RESPONSE_NOT_SERVING);
    ask_health("Check", "model");
    wait_for(0);
    assert_int_equal(site.status, TN_GRPC_NOT_FOUND);
    assert_int_equal(tn_health_set(site.health, TN_STR_OF("model"), true), TN_OK);
    assert_int_equal(tn_health_set(site.health, TN_STR_OF("a"), false), TN_OK);
    assert_int_equal(tn_health_set(site.health, TN_STR_OF(""), true), TN_OK);
    const char *services[] = {"", "model", "a"};
    for (size_t i = 0; i < TN_COUNT(services); i++) {
        ask_health("Check", services[i]);
        wait_for(0);
        assert_int_equal(heard_status(0), i == 2 ? TN_GRPC_HEALTH_CHECK_RESPONSE_NOT_SERVING
                                                 : TN_GRPC_HEALTH_CHECK_RESPONSE_SERVING);
    }
    ask_health("List", "");
    wait_for(0);
    struct tn_grpc_health_list_response *list = heard(&tn_grpc_health_list_response_pb, 0);
    assert_int_equal(list->statuses_count, 3);
    assert_true(tn_str_is(list->statuses[2].key, "model"));
    assert_int_equal(list->statuses[2].value->status, TN_GRPC_HEALTH_CHECK_RESPONSE_SERVING);
    close_site(live);
}

static void watch_tells_every_change(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    open_site();
    ask_health("Watch", "model");
    wait_for(1);
    assert_int_equal(heard_status(0), TN_GRPC_HEALTH_CHECK_RESPONSE_SERVICE_UNKNOWN);
    assert_int_equal(tn_health_set(site.health, TN_STR_OF("other"), true), TN_OK);
    assert_int_equal(tn_health_set(site.health, TN_STR_OF("model"), true), TN_OK);
    wait_for(2);
    assert_int_equal(heard_status(1), TN_GRPC_HEALTH_CHECK_RESPONSE_SERVING);
    assert_int_equal(tn_health_set(site.health, TN_STR_OF("model"), true), TN_OK); /* no change */
    assert_int_equal(tn_health_set(site.health, TN_STR_OF("model"), false), TN_OK);
    wait_for(3);
    assert_int_equal(heard_status(2), TN_GRPC_HEALTH_CHECK_RESPONSE_NOT_SERVING);
    tn_health_remove(site.health, TN_STR_OF("model"));
    wait_for(4);
    assert_int_equal(heard_status(3), TN_GRPC_HEALTH_CHECK_RESPONSE_SERVICE_UNKNOWN);
    assert_int_equal(tn_health_set(site.health, TN_STR_OF("model"), true), TN_OK);
    wait_for(5);
    tn_health_shut(site.health);
    wait_for(6);
    assert_int_equal(heard_status(5), TN_GRPC_HEALTH_CHECK_RESPONSE_NOT_SERVING);
    tn_client_cancel(site.call);
    wait_for(0);

    /* The watcher is gone: a change touches nothing of it. A second one is open at the end. */
    ask_health("Watch", "");
    wait_for(1);
    tn_health_remove(site.health, TN_STR_OF("model"));
    close_site(live);
}

/* ---- reflection ---- */

static void ask_reflection(uint32_t what, const char *value, bool last)
{
    struct tn_reflection_server_reflection_request request = {.host = TN_STR("h"),
                                                              .message_request = what};
    request.file_by_filename = tn_str_from(value); /* all of these are texts in one union */
    say(&tn_reflection_server_reflection_request_pb, &request, last);
}

static struct tn_reflection_server_reflection_response *heard_answer(size_t index)
{
    struct tn_reflection_server_reflection_response *answer =
        heard(&tn_reflection_server_reflection_response_pb, index);
    assert_true(tn_str_is(answer->valid_host, "h"));
    assert_non_null(answer->original_request);
    return answer;
}

static void reflection_shows_what_is_served(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    const char *paths[] = {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
                           "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"};
    for (size_t version = 0; version < TN_COUNT(paths); version++) {
        open_site();
        begin(paths[version]);
        ask_reflection(TN_REFLECTION_SERVER_REFLECTION_REQUEST_LIST_SERVICES, "*", false);
        wait_for(1);
        struct tn_reflection_server_reflection_response *answer = heard_answer(0);
        assert_int_equal(answer->message_response,
                         TN_REFLECTION_SERVER_REFLECTION_RESPONSE_LIST_SERVICES_RESPONSE);
        assert_int_equal(answer->list_services_response->service_count, 3);
        assert_true(
            tn_str_is(answer->list_services_response->service[0].name, "grpc.health.v1.Health"));
        const struct {
            uint32_t what;
            const char *value;
            bool known;
        } rows[] = {
            {TN_REFLECTION_SERVER_REFLECTION_REQUEST_FILE_CONTAINING_SYMBOL,
             "grpc.health.v1.Health", true},
            {TN_REFLECTION_SERVER_REFLECTION_REQUEST_FILE_CONTAINING_SYMBOL,
             "grpc.health.v1.HealthCheckResponse.ServingStatus", true},
            {TN_REFLECTION_SERVER_REFLECTION_REQUEST_FILE_CONTAINING_SYMBOL, "grpc.health.v1.No",
             false},
            {TN_REFLECTION_SERVER_REFLECTION_REQUEST_FILE_BY_FILENAME,
             "grpc/health/v1/health.proto", true},
            {TN_REFLECTION_SERVER_REFLECTION_REQUEST_FILE_BY_FILENAME, "", false},
        };
        for (size_t i = 0; i < TN_COUNT(rows); i++) {
            ask_reflection(rows[i].what, rows[i].value, i + 1 == TN_COUNT(rows));
            wait_for(i + 2);
            answer = heard_answer(i + 1);
            if (!rows[i].known) {
                assert_int_equal(answer->message_response,
                                 TN_REFLECTION_SERVER_REFLECTION_RESPONSE_ERROR_RESPONSE);
                assert_int_equal(answer->error_response->error_code, TN_GRPC_NOT_FOUND);
                continue;
            }
            assert_int_equal(answer->message_response,
                             TN_REFLECTION_SERVER_REFLECTION_RESPONSE_FILE_DESCRIPTOR_RESPONSE);
            assert_int_equal(answer->file_descriptor_response->file_descriptor_proto_count, 1);
            assert_true(tn_bytes_equal(answer->file_descriptor_response->file_descriptor_proto[0],
                                       tn_grpc_health_file.descriptor));
        }
        wait_for(0);
        assert_int_equal(site.status, TN_GRPC_OK);
        close_site(live);
    }
}

static void reflection_refuses_garbage(void **state)
{
    (void)state;
    size_t live = tn_mem_live();
    open_site();
    begin("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    static const uint8_t garbage[] = {0x0A, 0xFF, 0xFF, 0xFF};
    struct tn_piece piece = {tn_bytes_make(garbage, sizeof(garbage)), NULL};
    assert_int_equal(tn_client_send(site.call, &piece, 1, false), TN_OK);
    wait_for(0);
    assert_int_equal(site.status, TN_GRPC_INVALID_ARGUMENT);
    close_site(live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_tells_each_service),
        cmocka_unit_test(watch_tells_every_change),
        cmocka_unit_test(reflection_shows_what_is_served),
        cmocka_unit_test(reflection_refuses_garbage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
