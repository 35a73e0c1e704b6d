/* Waits for one call at a time; see session.h.
 *
 *   IDLE --start--> WAITING --message--> WAITING --ended--> IDLE (the loop stops)  */
#include "cmd/session.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "proto/inference.pb.h"
#include "rpc/tls.h"

#include <stdio.h>

struct wait {
    struct tn_session *session;
    struct tn_block *message;
    enum tn_err err;
    char text[256];
    bool over;
};

static void on_message(void *user, struct tn_client_call *call, struct tn_block *message)
{
    (void)call;
    struct wait *wait = user;
    if (wait->message == NULL) {
        wait->message = tn_block_ref(message);
    }
}

static void on_ended(void *user, struct tn_client_call *call, const struct tn_client_end *end)
{
    (void)call;
    struct wait *wait = user;
    wait->err = end->err;
    snprintf(wait->text, sizeof(wait->text), "%.*s", TN_STR_ARG(end->message));
    wait->over = true;
    tn_loop_stop(wait->session->loop);
}

static const struct tn_client_events events = {.message = on_message, .ended = on_ended};

const struct tn_pb_method *tn_session_method(const char *name)
{
    const struct tn_pb_service *service = &tn_oip_grpc_inference_service;
    for (size_t i = 0; i < service->method_count; i++) {
        if (strcmp(service->methods[i].name, name) == 0) {
            return &service->methods[i];
        }
    }
    TN_UNREACHABLE();
}

/* "https://host:8001/" -> "host:8001", and whether TLS was asked for. */
static char *target_of(const char *url, bool *ret_tls)
{
    struct tn_str text = tn_str_from(url);
    *ret_tls = false;
    if (tn_str_starts(text, TN_STR_OF("https://")) || tn_str_starts(text, TN_STR_OF("grpcs://"))) {
        *ret_tls = true;
        text = tn_str_from_offset(text, 8);
    } else if (tn_str_starts(text, TN_STR_OF("http://")) ||
               tn_str_starts(text, TN_STR_OF("grpc://"))) {
        text = tn_str_from_offset(text, 7);
    }
    if (text.size > 0 && text.data[text.size - 1] == '/' &&
        !tn_str_starts(text, TN_STR_OF("unix:"))) {
        text.size--;
    }
    return tn_mem_copy_str(text);
}

static enum tn_err make_tls(struct tn_session *session, const struct tn_session_options *options,
                            struct tn_fault *fault)
{
    return tn_tls_create(&(struct tn_tls_options){.cert_file = options->cert_file,
                                                  .key_file = options->key_file,
                                                  .ca_file = options->ca_file,
                                                  .insecure = options->insecure},
                         &session->tls, fault);
}

enum tn_err tn_session_init(struct tn_session *session, const struct tn_session_options *options,
                            struct tn_fault *fault)
{
    *session = (struct tn_session){.timeout_ns = options->timeout_ns, .url = options->url};
    tn_arena_init(&session->arena,
                  &(struct tn_arena_options){.source = tn_mem_source(), .chunk_size = 64 * 1024});
    bool tls = false;
    session->target = target_of(options->url, &tls);
    enum tn_err err = TN_NOMEM;
    if (session->target == NULL) {
        goto fail;
    }
    if (options->token != NULL) {
        size_t size = strlen(options->token) + sizeof("Bearer ");
        session->authorization = tn_mem_take(size);
        if (session->authorization == NULL) {
            goto fail;
        }
        snprintf(session->authorization, size, "Bearer %s", options->token);
    }
    tls = tls || options->ca_file != NULL || options->cert_file != NULL;
    err = tn_loop_create("client", &session->loop, fault);
    if (err == TN_OK && tls) {
        err = make_tls(session, options, fault);
    }
    if (err == TN_OK) {
        err = tn_client_create(&(struct tn_client_options){.loop = session->loop,
                                                           .target = session->target,
                                                           .protocol = TN_CLIENT_HTTP2,
                                                           .tls = session->tls},
                               &session->client, fault);
    }
fail:
    if (err != TN_OK) {
        if (err == TN_NOMEM) {
            (void)tn_fault_set(fault, err, "no memory for the connection");
        }
        tn_session_deinit(session);
    }
    return err;
}

void tn_session_reset(struct tn_session *session)
{
    for (size_t i = 0; i < session->message_count; i++) {
        tn_block_unref(session->messages[i]);
    }
    session->message_count = 0;
    tn_arena_reset(&session->arena);
}

void tn_session_deinit(struct tn_session *session)
{
    tn_client_destroy(session->client);
    tn_tls_destroy(session->tls);
    tn_session_reset(session);
    tn_arena_deinit(&session->arena);
    tn_loop_destroy(session->loop);
    tn_mem_give(session->authorization);
    tn_mem_give(session->target);
    *session = (struct tn_session){0};
}

static enum tn_err send_request(struct tn_session *session, const struct tn_pb_method *method,
                                const void *request, struct wait *wait)
{
    size_t size = tn_pb_size(method->request, request);
    struct tn_block *body = NULL;
    enum tn_err err = tn_block_create(size, &body);
    if (err != TN_OK) {
        return err;
    }
    tn_pb_encode(method->request, request, body->data, size);
    body->size = size;
    struct tn_header headers[1] = {
        {TN_STR("authorization"), tn_str_from(session->authorization)},
    };
    struct tn_client_call *call = NULL;
    err = tn_client_start(
        session->client,
        &(struct tn_client_request){
            .kind = TN_CALL_GRPC,
            .path = tn_str_from(method->path),
            .headers = headers,
            .header_count = session->authorization != NULL ? 1 : 0,
            .deadline_ns = session->timeout_ns != 0 ? tn_clock_mono_ns() + session->timeout_ns : 0,
            .events = &events,
            .user = wait},
        &call);
    if (err != TN_OK) {
        tn_block_unref(body);
        return err;
    }
    struct tn_piece piece = {.bytes = tn_bytes_make(body->data, body->size), .owner = body};
    err = tn_client_send(call, &piece, 1, true);
    if (err < TN_OK) {
        tn_block_unref(body);
        tn_client_cancel(call); /* `ended` still comes, and ends the wait */
    }
    return TN_OK;
}

static enum tn_err decode(struct tn_session *session, const struct tn_pb_method *method,
                          struct wait *wait, void *ret_response, struct tn_fault *fault)
{
    if (wait->message == NULL) {
        return tn_fault_set(fault, TN_CORRUPT, "%s: %s ended well but sent no answer", session->url,
                            method->name);
    }
    if (session->message_count == TN_COUNT(session->messages)) {
        tn_block_unref(wait->message);
        return tn_fault_set(fault, TN_LIMIT, "more than %zu answers held",
                            TN_COUNT(session->messages));
    }
    session->messages[session->message_count++] = wait->message;
    enum tn_err err =
        tn_pb_decode(method->response, tn_bytes_make(wait->message->data, wait->message->size),
                     &session->arena, ret_response);
    return err == TN_OK ? TN_OK
                        : tn_fault_set(fault, err, "%s: the answer to %s cannot be read (%s)",
                                       session->url, method->name, tn_err_name(err));
}

enum tn_err tn_session_call(struct tn_session *session, const struct tn_pb_method *method,
                            const void *request, void *ret_response, struct tn_fault *fault)
{
    struct wait wait = {.session = session};
    enum tn_err err = send_request(session, method, request, &wait);
    if (err != TN_OK) {
        return tn_fault_set(fault, err, "%s: %s could not be sent (%s)", session->url, method->name,
                            tn_err_name(err));
    }
    while (!wait.over) {
        tn_loop_run(session->loop);
    }
    if (wait.err != TN_OK) {
        tn_block_unref(wait.message);
        const char *hint = wait.err == TN_UNAVAILABLE
                               ? "; is the server running? start one with: tenon serve --models DIR"
                               : "";
        return tn_fault_set(fault, wait.err, "%s: %s%s", session->url,
                            wait.text[0] != '\0' ? wait.text : tn_err_name(wait.err), hint);
    }
    return decode(session, method, &wait, ret_response, fault);
}
