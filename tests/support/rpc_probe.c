/* The client of room rpc as a program, so that tests can point it at servers of other people.
 *
 *   rpc_probe TARGET PATH [name=value]...
 *     calls=N, together=N, size=BYTES, messages=N (a stream each call), http=0|1|2 (0: gRPC),
 *     deadline_ms=N, cancel_after=N (messages), wait=1, method=GET, ca=FILE, insecure=1
 * Prints one line of JSON: how the calls ended, what came back, and what it cost. */
#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/client.h"

#include <stdio.h>
#include <stdlib.h>

struct probe {
    struct tn_loop *loop;
    struct tn_client *client;
    const char *path;
    const char *method;
    size_t calls, together, size, messages, http, deadline_ms, cancel_after;
    bool wait;
    size_t begun, ended, ok;
    size_t status[17];
    size_t http_status;
    size_t messages_in, bytes_in, mismatched, headers_in;
    char last_message[200];
    uint8_t *bytes;
};

struct exchange {
    struct probe *probe;
    size_t sent, received, bytes;
};

static void begin(struct probe *probe);

static void send_more(struct exchange *exchange, struct tn_client_call *call)
{
    struct probe *probe = exchange->probe;
    while (exchange->sent < probe->messages) {
        exchange->sent++;
        struct tn_block *block = NULL;
        if (tn_block_copy(tn_bytes_make(probe->bytes, probe->size), &block) < 0) {
            abort();
        }
        struct tn_piece piece = {tn_bytes_make(block->data, block->size), block};
        enum tn_err err = tn_client_send(call, &piece, 1, exchange->sent == probe->messages);
        if (err < 0) {
            tn_block_unref(block);
            return;
        }
        if (err == TN_AGAIN) {
            return;
        }
    }
}

static void on_headers(void *user, struct tn_client_call *call, unsigned http_status,
                       const struct tn_header *headers, size_t count)
{
    (void)call;
    (void)http_status;
    (void)headers;
    ((struct exchange *)user)->probe->headers_in += count;
}

static void on_message(void *user, struct tn_client_call *call, struct tn_block *message)
{
    struct exchange *exchange = user;
    struct probe *probe = exchange->probe;
    probe->messages_in++;
    probe->bytes_in += message->size;
    if (message->size != probe->size || memcmp(message->data, probe->bytes, probe->size) != 0) {
        probe->mismatched++;
    }
    exchange->received++;
    if (exchange->received == probe->cancel_after) {
        tn_client_cancel(call);
    }
}

static void on_writable(void *user, struct tn_client_call *call)
{
    send_more(user, call);
}

static void on_ended(void *user, struct tn_client_call *call, const struct tn_client_end *end)
{
    (void)call;
    struct exchange *exchange = user;
    struct probe *probe = exchange->probe;
    probe->ended++;
    probe->ok += end->err == TN_OK;
    probe->status[end->grpc_status]++;
    probe->http_status = end->http_status;
    if (end->message.size > 0) {
        snprintf(probe->last_message, sizeof(probe->last_message), "%.*s",
                 TN_STR_ARG(end->message));
    }
    tn_mem_give(exchange);
    if (probe->begun < probe->calls) {
        begin(probe);
    } else if (probe->ended == probe->calls) {
        tn_loop_stop(probe->loop);
    }
}

static const struct tn_client_events events = {on_headers, on_message, on_writable, on_ended};
static const struct tn_client_events events_light = {NULL, on_message, on_writable, on_ended};

static void begin(struct probe *probe)
{
    struct exchange *exchange = tn_mem_take_zeroed(1, sizeof(*exchange));
    exchange->probe = probe;
    probe->begun++;
    const struct tn_client_request request = {
        .kind = probe->http != 0 ? TN_CALL_HTTP : TN_CALL_GRPC,
        .method = tn_str_from(probe->method),
        .path = tn_str_from(probe->path),
        .no_body = probe->http != 0 && probe->messages == 0,
        .wait_for_ready = probe->wait,
        .deadline_ns = probe->deadline_ms > 0
                           ? tn_loop_now_ns(probe->loop) + probe->deadline_ms * TN_NS_PER_MS
                           : 0,
        .events = probe->calls > 1000 ? &events_light : &events,
        .user = exchange,
    };
    struct tn_client_call *call = NULL;
    enum tn_err err = tn_client_start(probe->client, &request, &call);
    if (err < 0) {
        fprintf(stderr, "start: %s\n", tn_err_name(err));
        exit(1);
    }
    if (probe->messages > 0) {
        send_more(exchange, call);
    } else if (probe->http == 0 && tn_client_send(call, NULL, 0, true) < 0) {
        exit(1);
    }
}

struct tls_files {
    const char *ca;
    bool insecure;
};

static void take_argument(struct probe *probe, struct tls_files *tls, const char *text)
{
    const struct {
        const char *name;
        size_t *to;
    } numbers[] = {
        {"calls", &probe->calls},
        {"together", &probe->together},
        {"size", &probe->size},
        {"messages", &probe->messages},
        {"http", &probe->http},
        {"deadline_ms", &probe->deadline_ms},
        {"cancel_after", &probe->cancel_after},
    };
    const char *value = strchr(text, '=');
    struct tn_str name = tn_str_make(text, value != NULL ? (size_t)(value - text) : 0);
    for (size_t i = 0; i < TN_COUNT(numbers); i++) {
        if (tn_str_is(name, numbers[i].name)) {
            *numbers[i].to = strtoul(value + 1, NULL, 10);
            return;
        }
    }
    if (tn_str_is(name, "method")) {
        probe->method = value + 1;
    } else if (tn_str_is(name, "wait")) {
        probe->wait = true;
    } else if (tn_str_is(name, "ca")) {
        tls->ca = value + 1;
    } else if (tn_str_is(name, "insecure")) {
        tls->insecure = true;
    } else {
        fprintf(stderr, "rpc_probe: what is '%s'?\n", text);
        exit(64);
    }
}

static void print_result(const struct probe *probe, uint64_t wall_ns)
{
    printf("{\"ended\":%zu,\"ok\":%zu,\"messages\":%zu,\"bytes\":%zu,\"mismatched\":%zu,"
           "\"headers\":%zu,\"http_status\":%zu,\"status\":{",
           probe->ended, probe->ok, probe->messages_in, probe->bytes_in, probe->mismatched,
           probe->headers_in, probe->http_status);
    const char *comma = "";
    for (size_t i = 0; i < TN_COUNT(probe->status); i++) {
        if (probe->status[i] > 0) {
            printf("%s\"%zu\":%zu", comma, i, probe->status[i]);
            comma = ",";
        }
    }
    printf("},\"message\":\"%s\",\"wall_us\":%llu,\"cpu_us\":%llu}\n", probe->last_message,
           (unsigned long long)(wall_ns / TN_NS_PER_US),
           (unsigned long long)(tn_clock_process_ns() / TN_NS_PER_US));
}

int main(int argc, char **argv)
{
    struct probe probe = {.calls = 1, .together = 1, .size = 16, .messages = 1, .method = "GET"};
    struct tls_files tls = {0};
    if (argc < 3) {
        return 64;
    }
    probe.path = argv[2];
    for (int i = 3; i < argc; i++) {
        take_argument(&probe, &tls, argv[i]);
    }
    probe.bytes = tn_mem_take(probe.size);
    for (size_t i = 0; i < probe.size; i++) {
        probe.bytes[i] = (uint8_t)(i * 2654435761u >> 11);
    }
    struct tn_fault fault = {0};
    const struct tn_client_options options = {
        .target = argv[1],
        .protocol = probe.http == 1   ? TN_CLIENT_HTTP1
                    : probe.http == 2 ? TN_CLIENT_HTTP2
                                      : TN_CLIENT_AUTO,
        .calls_max = 100000,
    };
    struct tn_client_options with_loop = options;
    if (tn_loop_create("probe", &probe.loop, &fault) < 0) {
        return 70;
    }
    with_loop.loop = probe.loop;
    if (tn_client_create(&with_loop, &probe.client, &fault) < 0) {
        fprintf(stderr, "%s\n", fault.text);
        return 70;
    }
    uint64_t start = tn_clock_mono_ns();
    for (size_t i = 0; i < probe.together && i < probe.calls; i++) {
        begin(&probe);
    }
    tn_loop_run(probe.loop);
    print_result(&probe, tn_clock_mono_ns() - start);
    tn_client_destroy(probe.client);
    tn_loop_destroy(probe.loop);
    tn_mem_give(probe.bytes);
    if (tn_mem_live() != 0) {
        fprintf(stderr, "%zu blocks leaked\n", tn_mem_live());
        return 1;
    }
    return probe.ended == probe.calls ? 0 : 1;
}
