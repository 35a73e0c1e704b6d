/* Certificates and keys; see tls.h. A reload builds a new SSL_CTX beside the old one and swaps the
 * pointer; connections hold the context they began with. TLS 1.2 and 1.3 only, no renegotiation, no
 * compression; session tickets with OpenSSL's rotating key of the context.
 * Memory: one context. Threads: a mutex around the pointer, taken once a connection. */
#include "rpc/tls.h"

#include "base/log.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/tls_context.h"

#include <openssl/err.h>
#include <pthread.h>
#include <stdio.h>

struct tn_tls {
    pthread_mutex_t mutex;
    SSL_CTX *context;
    BIO_METHOD *bio;
    bool server;
    bool insecure;
    char *cert_file;
    char *key_file;
    char *ca_file;
    char *server_name;
};

static enum tn_err file_fault(struct tn_fault *fault, const char *what, const char *path)
{
    char reason[160] = "";
    unsigned long code = ERR_peek_last_error();
    ERR_error_string_n(code, reason, sizeof(reason));
    ERR_clear_error();
    if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for the %s '%s'", what, path);
    }
    return tn_fault_set(fault, TN_INVALID, "cannot use the %s '%s': %s", what, path, reason);
}

/* The first protocol of ours that the client offers; without a common one: HTTP/1.1 by silence. */
static int choose_alpn(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_size,
                       const unsigned char *offered, unsigned offered_size, void *context)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    (void)ssl;
    (void)context;
    unsigned char *choice = NULL;
    int code =
        SSL_select_next_proto(&choice, chosen_size, ours, sizeof(ours) - 1, offered, offered_size);
    if (code != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *chosen = choice;
    return SSL_TLSEXT_ERR_OK;
}

static enum tn_err load_own(const struct tn_tls *tls, SSL_CTX *context, struct tn_fault *fault)
{
    if (SSL_CTX_use_certificate_chain_file(context, tls->cert_file) != 1) {
        return file_fault(fault, "certificate", tls->cert_file);
    }
    const char *key_file = tls->key_file != NULL ? tls->key_file : tls->cert_file;
    if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1) {
        return file_fault(fault, "private key", key_file);
    }
    if (SSL_CTX_check_private_key(context) != 1) {
        ERR_clear_error();
        return tn_fault_set(fault, TN_INVALID, "the private key '%s' is not that of '%s'", key_file,
                            tls->cert_file);
    }
    return TN_OK;
}

static enum tn_err load_trust(const struct tn_tls *tls, SSL_CTX *context, struct tn_fault *fault)
{
    if (tls->ca_file == NULL) {
        if (!tls->server && SSL_CTX_set_default_verify_paths(context) != 1) {
            return file_fault(fault, "trust store", "of the system");
        }
        return TN_OK;
    }
    if (SSL_CTX_load_verify_file(context, tls->ca_file) != 1) {
        return file_fault(fault, "certificate authority", tls->ca_file);
    }
    if (tls->server) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(tls->ca_file);
        if (names == NULL) {
            return file_fault(fault, "certificate authority", tls->ca_file);
        }
        SSL_CTX_set_client_CA_list(context, names);
    }
    return TN_OK;
}

static void set_verify(const struct tn_tls *tls, SSL_CTX *context)
{
    int mode = SSL_VERIFY_NONE;
    if (tls->server && tls->ca_file != NULL) {
        mode = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    } else if (!tls->server && !tls->insecure) {
        mode = SSL_VERIFY_PEER;
    }
    SSL_CTX_set_verify(context, mode, NULL);
}

static enum tn_err load(const struct tn_tls *tls, SSL_CTX **ret_context, struct tn_fault *fault)
{
    static const unsigned char session_id[] = "tenon";
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(tls->server ? TLS_server_method() : TLS_client_method());
    if (context == NULL) {
        ERR_clear_error();
        return tn_fault_set(fault, TN_NOMEM, "no memory for TLS");
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    set_verify(tls, context);
    if (tls->server) {
        SSL_CTX_set_alpn_select_cb(context, choose_alpn, NULL);
        SSL_CTX_set_session_id_context(context, session_id, sizeof(session_id) - 1);
        /* Tickets carry the sessions; a cache on our side would only be memory. */
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    }
    enum tn_err err = tls->cert_file != NULL ? load_own(tls, context, fault) : TN_OK;
    if (err >= 0) {
        err = load_trust(tls, context, fault);
    }
    if (err < 0) {
        SSL_CTX_free(context);
        return err;
    }
    *ret_context = context;
    return TN_OK;
}

static bool copy_text(const char *text, char **ret_copy)
{
    *ret_copy = text != NULL ? tn_mem_copy_str(tn_str_from(text)) : NULL;
    return text == NULL || *ret_copy != NULL;
}

enum tn_err tn_tls_create(const struct tn_tls_options *options, struct tn_tls **ret_tls,
                          struct tn_fault *fault)
{
    if (options->server && options->cert_file == NULL) {
        return tn_fault_set(fault, TN_INVALID, "a TLS server needs a certificate file");
    }
    struct tn_tls *tls = tn_mem_take_zeroed(1, sizeof(*tls));
    if (tls == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for TLS");
    }
    pthread_mutex_init(&tls->mutex, NULL);
    tls->server = options->server;
    tls->insecure = options->insecure;
    bool ok = copy_text(options->cert_file, &tls->cert_file) &&
              copy_text(options->key_file, &tls->key_file) &&
              copy_text(options->ca_file, &tls->ca_file) &&
              copy_text(options->server_name, &tls->server_name);
    tls->bio = ok ? tn_tls_bio_method() : NULL;
    enum tn_err err = TN_OK;
    if (tls->bio == NULL) {
        err = tn_fault_set(fault, TN_NOMEM, "no memory for TLS");
        goto fail;
    }
    err = load(tls, &tls->context, fault);
    if (err < 0) {
        goto fail;
    }
    if (options->insecure && !options->server) {
        tn_log_warn("TLS without verification: anybody can answer in the server's place");
    }
    *ret_tls = tls;
    return TN_OK;
fail:
    tn_tls_destroy(tls);
    return err;
}

enum tn_err tn_tls_reload(struct tn_tls *tls, struct tn_fault *fault)
{
    SSL_CTX *context = NULL;
    enum tn_err err = load(tls, &context, fault);
    if (err < 0) {
        return err;
    }
    pthread_mutex_lock(&tls->mutex);
    SSL_CTX *old = tls->context;
    tls->context = context;
    pthread_mutex_unlock(&tls->mutex);
    SSL_CTX_free(old); /* lives on while connections hold it */
    return TN_OK;
}

void tn_tls_destroy(struct tn_tls *tls)
{
    if (tls == NULL) {
        return;
    }
    SSL_CTX_free(tls->context);
    BIO_meth_free(tls->bio);
    tn_mem_give(tls->cert_file);
    tn_mem_give(tls->key_file);
    tn_mem_give(tls->ca_file);
    tn_mem_give(tls->server_name);
    pthread_mutex_destroy(&tls->mutex);
    tn_mem_give(tls);
}

SSL *tn_tls_new_ssl(struct tn_tls *tls)
{
    /* SSL_new takes a reference to the context, inside the lock so that a reload cannot free it. */
    pthread_mutex_lock(&tls->mutex);
    SSL *ssl = SSL_new(tls->context);
    pthread_mutex_unlock(&tls->mutex);
    return ssl;
}

BIO_METHOD *tn_tls_bio(const struct tn_tls *tls)
{
    return tls->bio;
}

bool tn_tls_is_server(const struct tn_tls *tls)
{
    return tls->server;
}

const char *tn_tls_server_name(const struct tn_tls *tls)
{
    return tls->server_name;
}
