/* TLS by certificates made here: ALPN picks the protocol, wrong names and authorities are refused,
 * mutual TLS shows the subject, a reload changes what new connections see, and bytes that are no
 * TLS end the connection. */
#include "support/client_bench.h"
#include "support/rpc_server.h"

#include "rpc/tls.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>
#include <unistd.h>

static struct rpc_server server;
static char folder[] = "/tmp/tenon-tls-XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[8][80];
    static size_t next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    return path;
}

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static void add_extension(X509 *certificate, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/* Signed by `issuer`, or by itself. */
static struct identity make_identity(const char *name, const struct identity *issuer)
{
    static long serial = 1;
    struct identity identity = {EVP_EC_gen("P-256"), X509_new()};
    assert_non_null(identity.key);
    X509 *certificate = identity.certificate;
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_set_pubkey(certificate, identity.key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate,
                         X509_get_subject_name(issuer != NULL ? issuer->certificate : certificate));
    if (issuer == NULL) {
        add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    } else {
        add_extension(certificate, NID_subject_alt_name, "DNS:model.test,IP:127.0.0.1");
    }
    EVP_PKEY *signer = issuer != NULL ? issuer->key : identity.key;
    assert_true(X509_sign(certificate, signer, EVP_sha256()) > 0);
    return identity;
}

static void write_identity(const struct identity *identity, const char *cert, const char *key)
{
    FILE *file = fopen(path_of(cert), "w");
    assert_non_null(file);
    PEM_write_X509(file, identity->certificate);
    fclose(file);
    file = fopen(path_of(key), "w");
    assert_non_null(file);
    PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
}

static void drop_identity(struct identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
}

/* Two authorities; a server and a client of the first. */
static int make_files(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    struct identity first = make_identity("first authority", NULL);
    struct identity second = make_identity("second authority", NULL);
    struct identity own = make_identity("server", &first);
    struct identity client = make_identity("a client", &first);
    struct identity later = make_identity("server", &second);
    write_identity(&first, "ca1.pem", "ca1.key");
    write_identity(&second, "ca2.pem", "ca2.key");
    write_identity(&own, "own.pem", "own.key");
    write_identity(&client, "client.pem", "client.key");
    write_identity(&later, "later.pem", "later.key");
    drop_identity(&first);
    drop_identity(&second);
    drop_identity(&own);
    drop_identity(&client);
    drop_identity(&later);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    const char *names[] = {"ca1", "ca2", "own", "client", "later"};
    for (size_t i = 0; i < TN_COUNT(names); i++) {
        char path[80];
        snprintf(path, sizeof(path), "%s/%s.pem", folder, names[i]);
        unlink(path);
        snprintf(path, sizeof(path), "%s/%s.key", folder, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}

static struct tn_tls *make_tls(const struct tn_tls_options *options)
{
    struct tn_tls *tls = NULL;
    struct tn_fault fault = {0};
    enum tn_err err = tn_tls_create(options, &tls, &fault);
    if (err < 0) {
        fprintf(stderr, "%s\n", fault.text);
    }
    assert_int_equal(err, TN_OK);
    return tls;
}

static struct tn_tls *server_tls(bool mutual)
{
    return make_tls(&(struct tn_tls_options){.server = true,
                                             .cert_file = path_of("own.pem"),
                                             .key_file = path_of("own.key"),
                                             .ca_file = mutual ? path_of("ca1.pem") : NULL});
}

/* One GET; how it ended. */
static struct result get(struct tn_tls *tls, enum tn_client_protocol protocol, const char *path)
{
    struct bench bench;
    open_bench(&bench, &(struct tn_client_options){
                           .target = server.target, .protocol = protocol, .tls = tls});
    start(&bench, (struct tn_client_request){
                      .method = TN_STR_OF("GET"), .path = tn_str_from(path), .no_body = true});
    run(&bench);
    struct result result = bench.result[0];
    close_bench(&bench);
    return result;
}

static void both_protocols_and_large_bodies(void **state)
{
    (void)state;
    struct tn_tls *ours = server_tls(false);
    struct tn_tls *theirs = make_tls(&(struct tn_tls_options){.ca_file = path_of("ca1.pem")});
    rpc_server_start(&server, NULL, ours);
    for (int protocol = TN_CLIENT_AUTO; protocol <= TN_CLIENT_HTTP2; protocol++) {
        struct result result = get(theirs, (enum tn_client_protocol)protocol, "/big");
        assert_int_equal(result.err, TN_OK);
        assert_int_equal(result.http_status, 200);
        assert_int_equal(result.bytes, 1 << 20);
        assert_int_equal(result.sum, (uint64_t)'y' << 20);
    }
    struct bench bench;
    open_bench(&bench, &(struct tn_client_options){.target = server.target, .tls = theirs});
    for (size_t i = 0; i < CALLS; i++) {
        send_bytes(start_grpc(&bench, "/t.E/Unary"), i * 50000, (uint8_t)i, true);
    }
    run(&bench);
    for (size_t i = 0; i < CALLS; i++) {
        assert_int_equal(bench.result[i].err, TN_OK);
        assert_int_equal(bench.result[i].bytes, i * 50000);
        assert_int_equal(bench.result[i].sum, i * i * 50000);
    }
    close_bench(&bench);
    rpc_server_stop(&server);
    tn_tls_destroy(theirs);
    tn_tls_destroy(ours);
}

static void strangers_are_refused(void **state)
{
    (void)state;
    struct tn_tls *ours = server_tls(false);
    rpc_server_start(&server, NULL, ours);
    const struct tn_tls_options wrong[] = {
        {.ca_file = path_of("ca2.pem")},
        {.ca_file = path_of("ca1.pem"), .server_name = "another.test"},
    };
    for (size_t i = 0; i < TN_COUNT(wrong); i++) {
        struct tn_tls *theirs = make_tls(&wrong[i]);
        struct result result = get(theirs, TN_CLIENT_AUTO, "/echo");
        assert_true(result.err < 0);
        assert_non_null(strstr(result.message, i == 0 ? "certificate" : "hostname"));
        tn_tls_destroy(theirs);
    }
    struct tn_tls *named = make_tls(
        &(struct tn_tls_options){.ca_file = path_of("ca1.pem"), .server_name = "model.test"});
    assert_int_equal(get(named, TN_CLIENT_AUTO, "/echo").err, TN_OK);
    tn_tls_destroy(named);
    rpc_server_stop(&server);
    tn_tls_destroy(ours);
}

static void mutual_tls_needs_a_certificate(void **state)
{
    (void)state;
    struct tn_tls *ours = server_tls(true);
    struct tn_tls *none = make_tls(&(struct tn_tls_options){.ca_file = path_of("ca1.pem")});
    struct tn_tls *known = make_tls(&(struct tn_tls_options){.ca_file = path_of("ca1.pem"),
                                                             .cert_file = path_of("client.pem"),
                                                             .key_file = path_of("client.key")});
    struct tn_tls *strange = make_tls(&(struct tn_tls_options){.ca_file = path_of("ca1.pem"),
                                                               .cert_file = path_of("later.pem"),
                                                               .key_file = path_of("later.key")});
    rpc_server_start(&server, NULL, ours);
    assert_true(get(none, TN_CLIENT_AUTO, "/echo").err < 0);
    assert_true(get(strange, TN_CLIENT_AUTO, "/echo").err < 0);
    struct result subject = get(known, TN_CLIENT_AUTO, "/subject");
    assert_int_equal(subject.http_status, 200);
    assert_int_equal(subject.bytes, strlen("CN=a client"));
    assert_int_equal(rpc_server_refused(&server, "tls"), 2);
    rpc_server_stop(&server);
    tn_tls_destroy(none);
    tn_tls_destroy(known);
    tn_tls_destroy(strange);
    tn_tls_destroy(ours);
}

static void copy_file(const char *from, const char *to)
{
    char command[200];
    snprintf(command, sizeof(command), "cp %s %s", path_of(from), path_of(to));
    assert_int_equal(system(command), 0);
}

static void a_reload_is_seen_by_new_connections(void **state)
{
    (void)state;
    struct tn_tls *ours = server_tls(false);
    struct tn_tls *first = make_tls(&(struct tn_tls_options){.ca_file = path_of("ca1.pem")});
    struct tn_tls *second = make_tls(&(struct tn_tls_options){.ca_file = path_of("ca2.pem")});
    rpc_server_start(&server, NULL, ours);
    struct bench bench; /* a connection that lives through the reload */
    open_bench(&bench, &(struct tn_client_options){.target = server.target, .tls = first});
    send_bytes(start_grpc(&bench, "/t.E/Unary"), 10, 1, true);
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_OK);

    struct tn_fault fault = {0};
    copy_file("later.pem", "own.pem"); /* the key does not fit yet: nothing changes */
    assert_int_equal(tn_tls_reload(ours, &fault), TN_INVALID);
    assert_non_null(strstr(fault.text, "own."));
    assert_int_equal(get(first, TN_CLIENT_AUTO, "/echo").err, TN_OK);
    copy_file("later.key", "own.key");
    assert_int_equal(tn_tls_reload(ours, &fault), TN_OK);
    assert_true(get(first, TN_CLIENT_AUTO, "/echo").err < 0);
    assert_int_equal(get(second, TN_CLIENT_AUTO, "/echo").err, TN_OK);

    forget(&bench);
    send_bytes(start_grpc(&bench, "/t.E/Unary"), 10, 1, true);
    run(&bench);
    assert_int_equal(bench.result[0].err, TN_OK);
    close_bench(&bench);
    rpc_server_stop(&server);
    tn_tls_destroy(first);
    tn_tls_destroy(second);
    tn_tls_destroy(ours);
}

static void files_that_cannot_be_used_say_why(void **state)
{
    (void)state;
    const struct {
        struct tn_tls_options options;
        const char *text;
    } rows[] = {
        {{.server = true}, "needs a certificate"},
        {{.server = true, .cert_file = "/nowhere.pem"}, "/nowhere.pem"},
        {{.server = true, .cert_file = path_of("ca1.pem"), .key_file = path_of("ca2.key")}, "ca2"},
        {{.server = true, .cert_file = path_of("client.key")}, "client.key"},
        {{.ca_file = path_of("client.key")}, "client.key"},
    };
    size_t live = tn_mem_live();
    for (size_t i = 0; i < TN_COUNT(rows); i++) {
        struct tn_tls *tls = NULL;
        struct tn_fault fault = {0};
        assert_int_equal(tn_tls_create(&rows[i].options, &tls, &fault), TN_INVALID);
        assert_non_null(strstr(fault.text, rows[i].text));
        assert_int_equal(tn_mem_live(), live);
    }
}

/* Plain HTTP to a TLS port, a handshake that is cut at every byte, and one that never comes. */
static void what_is_no_handshake_is_cut(void **state)
{
    (void)state;
    struct tn_tls *ours = server_tls(false);
    const struct tn_server_limits limits = {.header_timeout_ns = 100 * TN_NS_PER_MS};
    rpc_server_start(&server, &limits, ours);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)server.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char plain[] = "GET / HTTP/1.1\r\nHost: t\r\n\r\n";
    for (size_t size = 0; size < sizeof(plain); size++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(send(fd, plain, size, MSG_NOSIGNAL), size);
        if (size == 0 || size == sizeof(plain) - 1) {
            char answer[100];
            while (recv(fd, answer, sizeof(answer), 0) > 0) {
            }
        }
        close(fd);
    }
    assert_true(rpc_server_refused(&server, "tls_timeout") >= 1);
    assert_true(rpc_server_refused(&server, "tls") >= 1);
    rpc_server_stop(&server);
    tn_tls_destroy(ours);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_protocols_and_large_bodies),
        cmocka_unit_test(strangers_are_refused),
        cmocka_unit_test(mutual_tls_needs_a_certificate),
        cmocka_unit_test(files_that_cannot_be_used_say_why),
        cmocka_unit_test(what_is_no_handshake_is_cut),
        cmocka_unit_test(a_reload_is_seen_by_new_connections), /* last: it changes the files */
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
