/* TLS of one connection; see tls_conn.h. A BIO of our own reads straight from the connection's read
 * buffer and writes into a block, so there is one copy less each way than with memory BIOs, and no
 * system call in here.
 * Memory, threads, bounds: as in the header. */
#include "rpc/tls_conn.h"

#include "base/mem.h"
#include "core/assert.h"
#include "rpc/tls_context.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

enum {
    SUBJECT_MAX = 256,
    PROBLEM_MAX = 160,
    RECORD = 16 << 10,
    RECORD_OVERHEAD = 64, /* more than any suite adds */
    HANDSHAKE_ROOM = 4 << 10,
};

struct tn_tls_conn {
    SSL *ssl;
    struct tn_bytes in;
    struct tn_block *cipher; /* on its way out */
    bool ready;
    bool failed;
    char subject[SUBJECT_MAX];
    char problem[PROBLEM_MAX];
};

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *data, int room)
{
    struct tn_tls_conn *conn = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (conn->in.size == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t take = conn->in.size < (size_t)room ? conn->in.size : (size_t)room;
    memcpy(data, conn->in.data, take);
    conn->in = tn_bytes_make(conn->in.data + take, conn->in.size - take);
    return (int)take;
}

/* Room for `size` cipher bytes more. */
static bool reserve(struct tn_tls_conn *conn, size_t size)
{
    struct tn_block *old = conn->cipher;
    size_t held = old != NULL ? old->size : 0;
    if (old != NULL && size <= old->room - held) {
        return true;
    }
    size_t room = held + size > 2 * held ? held + size : 2 * held;
    struct tn_block *larger = NULL;
    if (tn_block_create(room < HANDSHAKE_ROOM ? HANDSHAKE_ROOM : room, &larger) < 0) {
        return false;
    }
    if (held > 0) {
        memcpy(larger->data, old->data, held);
    }
    larger->size = held;
    tn_block_unref(old);
    conn->cipher = larger;
    return true;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    struct tn_tls_conn *conn = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!reserve(conn, (size_t)size)) {
        return -1;
    }
    memcpy(conn->cipher->data + conn->cipher->size, data, (size_t)size);
    conn->cipher->size += (size_t)size;
    return size;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tn_tls_bio_method(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | BIO_get_new_index(), "tenon");
    if (method != NULL) {
        BIO_meth_set_read(method, bio_read);
        BIO_meth_set_write(method, bio_write);
        BIO_meth_set_ctrl(method, bio_ctrl);
    }
    return method;
}

/* ---- life ---- */

static enum tn_err set_client(struct tn_tls_conn *conn, struct tn_tls *tls,
                              const struct tn_tls_conn_options *options)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1";
    unsigned protocols = options->protocols != 0 ? options->protocols : TN_TLS_HTTP1 | TN_TLS_HTTP2;
    size_t from = (protocols & TN_TLS_HTTP2) != 0 ? 0 : 3;
    size_t to = (protocols & TN_TLS_HTTP1) != 0 ? sizeof(both) - 1 : 3;
    SSL_set_connect_state(conn->ssl);
    if (SSL_set_alpn_protos(conn->ssl, both + from, (unsigned)(to - from)) != 0) {
        return TN_NOMEM;
    }
    const char *name = tn_tls_server_name(tls);
    name = name != NULL ? name : options->name;
    if (name == NULL) {
        return TN_OK;
    }
    X509_VERIFY_PARAM *param = SSL_get0_param(conn->ssl);
    if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1) {
        return TN_OK; /* an address: verified as one, and not sent as a name */
    }
    bool set =
        SSL_set_tlsext_host_name(conn->ssl, name) == 1 && SSL_set1_host(conn->ssl, name) == 1;
    return set ? TN_OK : TN_NOMEM;
}

enum tn_err tn_tls_conn_create(struct tn_tls *tls, const struct tn_tls_conn_options *options,
                               struct tn_tls_conn **ret_conn)
{
    static const struct tn_tls_conn_options none = {0};
    struct tn_tls_conn *conn = tn_mem_take_zeroed(1, sizeof(*conn));
    if (conn == NULL) {
        return TN_NOMEM;
    }
    enum tn_err err = TN_NOMEM;
    conn->ssl = tn_tls_new_ssl(tls);
    BIO *bio = conn->ssl != NULL ? BIO_new(tn_tls_bio(tls)) : NULL;
    if (bio == NULL) {
        goto fail;
    }
    BIO_set_data(bio, conn);
    BIO_set_init(bio, 1);
    SSL_set_bio(conn->ssl, bio, bio);
    SSL_set_mode(conn->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    if (tn_tls_is_server(tls)) {
        SSL_set_accept_state(conn->ssl);
    } else {
        err = set_client(conn, tls, options != NULL ? options : &none);
        if (err < 0) {
            goto fail;
        }
    }
    *ret_conn = conn;
    return TN_OK;
fail:
    tn_tls_conn_destroy(conn);
    ERR_clear_error();
    return err;
}

void tn_tls_conn_destroy(struct tn_tls_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    if (conn->ssl != NULL && conn->ready && !conn->failed) {
        /* Keeps the session for tickets; the close_notify itself has nowhere to go any more. */
        SSL_set_shutdown(conn->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(conn->ssl);
    tn_block_unref(conn->cipher);
    tn_mem_give(conn);
}

/* ---- bytes ---- */

void tn_tls_conn_feed(struct tn_tls_conn *conn, struct tn_bytes bytes)
{
    TN_ASSERT(conn->in.size == 0);
    conn->in = bytes;
}

static enum tn_err fail(struct tn_tls_conn *conn)
{
    unsigned long code = ERR_peek_error();
    long verify = SSL_get_verify_result(conn->ssl);
    conn->failed = true;
    if (verify != X509_V_OK) {
        const char *text = X509_verify_cert_error_string(verify);
        memcpy(conn->problem, text, strnlen(text, PROBLEM_MAX - 1));
    } else {
        ERR_error_string_n(code, conn->problem, PROBLEM_MAX);
    }
    bool memory = ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
    int reason = ERR_GET_REASON(code);
    ERR_clear_error();
    if (memory) {
        return TN_NOMEM;
    }
    bool denied = verify != X509_V_OK || reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE ||
                  reason == SSL_R_CERTIFICATE_VERIFY_FAILED;
    return denied ? TN_DENIED : TN_INVALID;
}

static enum tn_err result(struct tn_tls_conn *conn, int code)
{
    switch (SSL_get_error(conn->ssl, code)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TN_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return TN_DONE;
    default:
        return fail(conn);
    }
}

static void note_subject(struct tn_tls_conn *conn)
{
    X509 *certificate = SSL_get0_peer_certificate(conn->ssl);
    BIO *text = certificate != NULL ? BIO_new(BIO_s_mem()) : NULL;
    if (text == NULL) {
        return;
    }
    if (SSL_get_verify_result(conn->ssl) == X509_V_OK &&
        X509_NAME_print_ex(text, X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) >= 0) {
        int size = BIO_read(text, conn->subject, SUBJECT_MAX - 1);
        conn->subject[size > 0 ? size : 0] = '\0';
    }
    BIO_free(text);
}

enum tn_err tn_tls_conn_read(struct tn_tls_conn *conn, uint8_t *data, size_t room, size_t *ret_size)
{
    if (conn->failed) {
        return TN_INVALID;
    }
    ERR_clear_error();
    if (!conn->ready) {
        int code = SSL_do_handshake(conn->ssl);
        if (code != 1) {
            enum tn_err err = result(conn, code);
            return err == TN_DONE ? TN_INVALID : err;
        }
        conn->ready = true;
        note_subject(conn);
    }
    int size = SSL_read(conn->ssl, data, (int)room);
    if (size <= 0) {
        return result(conn, size);
    }
    *ret_size = (size_t)size;
    return TN_OK;
}

enum tn_err tn_tls_conn_encrypt(struct tn_tls_conn *conn, struct tn_out *out)
{
    TN_ASSERT(conn->ready || out->bytes == 0 || conn->failed);
    size_t records = out->bytes / RECORD + out->count + 1;
    if (out->bytes > 0 && !reserve(conn, out->bytes + records * RECORD_OVERHEAD)) {
        return TN_NOMEM;
    }
    ERR_clear_error();
    for (size_t i = 0; i < out->count && !conn->failed; i++) {
        const uint8_t *data = out->iov[i].iov_base;
        size_t left = out->iov[i].iov_len;
        while (left > 0) {
            int take = left > RECORD ? RECORD : (int)left;
            int size = SSL_write(conn->ssl, data, take);
            if (size <= 0) {
                return fail(conn);
            }
            data += size;
            left -= (size_t)size;
        }
    }
    tn_out_clear(out);
    struct tn_block *cipher = conn->cipher;
    if (cipher != NULL) {
        conn->cipher = NULL;
        tn_out_borrow(out, tn_bytes_make(cipher->data, cipher->size),
                      (struct tn_out_hold){.block = cipher});
    }
    return TN_OK;
}

/* ---- what is known of the peer ---- */

bool tn_tls_conn_is_ready(const struct tn_tls_conn *conn)
{
    return conn->ready;
}

bool tn_tls_conn_is_http2(const struct tn_tls_conn *conn)
{
    const unsigned char *name = NULL;
    unsigned size = 0;
    SSL_get0_alpn_selected(conn->ssl, &name, &size);
    return size == 2 && memcmp(name, "h2", 2) == 0;
}

struct tn_str tn_tls_conn_subject(const struct tn_tls_conn *conn)
{
    return conn != NULL ? tn_str_from(conn->subject) : tn_str_make("", 0);
}

const char *tn_tls_conn_problem(const struct tn_tls_conn *conn)
{
    return conn->problem;
}
