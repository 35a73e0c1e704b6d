/* HTTP/1: hand-written expectations for each rule of RFC 9112 that matters, each played whole, at
 * every cut, byte by byte and at random cuts; bit flips; limits; failing memory; the serialiser. */
#include "core/assert.h"
#include "support/http1_play.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct sample {
    const char *in;
    const char *out;
};

#define REQUEST "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST    "POST /x HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define CHUNKED_OUT                                                                                \
    "POST host=a path=/x query= v=11 body=chunked/0 keep\n  host=a\n  transfer-encoding=chunked\n"
#define BAD(status, text) "fail invalid " #status " " text "\n"
#define BAD_FIELD         BAD(400, "a header field is not valid")
#define BAD_TARGET        BAD(400, "the request target is not valid")
#define BAD_METHOD        BAD(400, "the request line has no valid method")
#define BAD_VERSION       BAD(400, "the request line has no valid HTTP version")
#define BAD_LENGTH        BAD(400, "Content-Length is not a number")
#define BAD_HOSTS         BAD(400, "a request has exactly one Host field")
#define BAD_HOST          BAD(400, "the Host field is not valid")
#define BAD_SIZE          BAD(400, "a chunk size is not a hexadecimal number")
#define BAD_CODING        "fail unsupported 501 no transfer coding but chunked is known\n"

static const struct sample requests[] = {
    /* Forms of a request. */
    {"GET / HTTP/1.1\r\nHost: a.b:80\r\n\r\n",
     "GET host=a.b:80 path=/ query= v=11 body=none/0 keep\n  host=a.b:80\nend\n"},
    {"GET /v2/models/m?a=b?c HTTP/1.1\r\nHOST:[::1]:8000\r\nX:\t y z \t\r\nE:\r\n\r\n",
     "GET host=[::1]:8000 path=/v2/models/m query=a=b?c v=11 body=none/0 keep\n"
     "  host=[::1]:8000\n  x=y z\n  e=\nend\n"},
    {"GET http://h:1/p?q HTTP/1.1\r\nHost: other\r\n\r\n",
     "GET host=h:1 path=/p query=q v=11 body=none/0 keep\n  host=other\nend\n"},
    {"GET HTTPS://h?q HTTP/1.1\r\nHost: h\r\n\r\n",
     "GET host=h path=/ query=q v=11 body=none/0 keep\n  host=h\nend\n"},
    {"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
     "OPTIONS host= path=* query= v=11 body=none/0 keep\n  host=\nend\n"},
    {"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
     "CONNECT host=h:443 path= query= v=11 body=none/0 keep\n  host=h:443\nend\n"},
    {"GET / HTTP/1.0\r\n\r\n", "GET host= path=/ query= v=10 body=none/0 close\nend\n"},
    {"\r\nGET / HTTP/1.0\r\n\r\n", "GET host= path=/ query= v=10 body=none/0 close\nend\n"},
    /* Whether the connection lives on. */
    {REQUEST "Connection: close\r\n\r\n",
     "GET host=a path=/ query= v=11 body=none/0 close\n  host=a\n  connection=close\nend\n"},
    {REQUEST "Connection: TE , Close\r\n\r\n",
     "GET host=a path=/ query= v=11 body=none/0 close\n  host=a\n  connection=TE , Close\nend\n"},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
     "GET host= path=/ query= v=10 body=none/0 keep\n  connection=keep-alive\nend\n"},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n",
     "GET host= path=/ query= v=10 body=none/0 close\n  connection=keep-alive\n"
     "  connection=close\nend\n"},
    /* Bodies. */
    {POST "Content-Length: 5\r\n\r\nhello",
     "POST host=a path=/x query= v=11 body=length/5 keep\n  host=a\n  content-length=5\n"
     "data hello\nend\n"},
    {POST "Content-Length: 0\r\n\r\n",
     "POST host=a path=/x query= v=11 body=length/0 keep\n  host=a\n  content-length=0\nend\n"},
    {POST "content-length: 9223372036854775807\r\nExpect: 100-Continue\r\n\r\n",
     "POST host=a path=/x query= v=11 body=length/9223372036854775807 keep expect\n  host=a\n"
     "  content-length=9223372036854775807\n  expect=100-Continue\n"},
    {CHUNKED "5\r\nhello\r\n00a;x=\"y\";z\r\n, dear all\r\n0\r\n\r\n",
     CHUNKED_OUT "data hello, dear all\nend\n"},
    {CHUNKED "1 \t;q\r\n!\r\n0\r\nSum: 1\r\nX-Y:\r\n\r\n",
     CHUNKED_OUT "data !\nend\n  sum=1\n  x-y=\n"},
    {"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0000000000000000\r\n\r\n",
     "POST host=a path=/x query= v=11 body=chunked/0 keep\n  host=a\n"
     "  transfer-encoding=Chunked\nend\n"},
    /* Pipelining: the second is not part of the first. */
    {POST "Content-Length: 1\r\n\r\nAGET /y HTTP/1.0\r\n\r\n",
     "POST host=a path=/x query= v=11 body=length/1 keep\n  host=a\n  content-length=1\n"
     "data A\nend\nGET host= path=/y query= v=10 body=none/0 close\nend\n"},
    {CHUNKED "0\r\n\r\n\r\nGET /y HTTP/1.0\r\n\r\n",
     CHUNKED_OUT "end\nGET host= path=/y query= v=10 body=none/0 close\nend\n"},
    /* Two ways to see the end of a message. */
    {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
     BAD(400, "Content-Length beside Transfer-Encoding")},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
     BAD(400, "Content-Length beside Transfer-Encoding")},
    {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
     BAD(400, "more than one Content-Length")},
    {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
     BAD(400, "more than one Content-Length")},
    {POST "Content-Length: 5, 5\r\n\r\n", BAD_LENGTH},
    {POST "Content-Length: +5\r\n\r\n", BAD_LENGTH},
    {POST "Content-Length: -1\r\n\r\n", BAD_LENGTH},
    {POST "Content-Length: 0x5\r\n\r\n", BAD_LENGTH},
    {POST "Content-Length:\r\n\r\n", BAD_LENGTH},
    {POST "Content-Length: 18446744073709551616\r\n\r\n", BAD_LENGTH},
    {POST "Content-Length : 5\r\n\r\n", BAD_FIELD},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", BAD_CODING},
    {POST "Transfer-Encoding: identity\r\n\r\n", BAD_CODING},
    {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", BAD_CODING},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", BAD_CODING},
    {POST "Transfer-Encoding: xchunked\r\n\r\n", BAD_CODING},
    {POST "Transfer-Encoding: \"chunked\"\r\n\r\n", BAD_CODING},
    {POST "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n",
     BAD_FIELD},
    {POST "Transfer-Encoding : chunked\r\n\r\n", BAD_FIELD},
    {POST "Transfer-Encoding\t: chunked\r\n\r\n", BAD_FIELD},
    {"POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
     BAD(400, "Transfer-Encoding in HTTP/1.0")},
    /* Line ends and folds. */
    {"GET / HTTP/1.1\nHost: a\n\n", BAD(400, "a line ends without CR")},
    {REQUEST "A: b\n\r\n", BAD(400, "a line ends without CR")},
    {REQUEST "\n", BAD(400, "a line ends without CR")},
    {REQUEST "A: b\rC: d\r\n\r\n", BAD_FIELD},
    {REQUEST "A: b\r\r\n\r\n", BAD_FIELD},
    {REQUEST " folded\r\n\r\n", BAD_FIELD},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", BAD_FIELD},
    {REQUEST "A: b\r\n\tfolded: c\r\n\r\n", BAD_FIELD},
    {"\r\n\r\nGET / HTTP/1.0\r\n\r\n", BAD(400, "this is not HTTP/1")},
    {"\nGET / HTTP/1.0\r\n\r\n", BAD(400, "this is not HTTP/1")},
    {"\rGET / HTTP/1.0\r\n\r\n", BAD(400, "a bare CR before the message")},
    /* Fields. */
    {REQUEST ": b\r\n\r\n", BAD_FIELD},
    {REQUEST "nocolon\r\n\r\n", BAD_FIELD},
    {REQUEST "a b: c\r\n\r\n", BAD_FIELD},
    {REQUEST "a(: c\r\n\r\n", BAD_FIELD},
    {REQUEST "\xc3\xa4: c\r\n\r\n", BAD_FIELD},
    {REQUEST "a: \x7f\r\n\r\n", BAD_FIELD},
    {REQUEST "a: 0123456789abcdef\x01"
             "0123456789abcdef\r\n\r\n",
     BAD_FIELD},
    {REQUEST "a: 0123456789abc\tdef\xff\r\n\r\n",
     "GET host=a path=/ query= v=11 body=none/0 keep\n  host=a\n  a=0123456789abc\tdef\xff\nend\n"},
    {"GET / HTTP/1.1\r\n\r\n", BAD_HOSTS},
    {REQUEST "Host: a\r\n\r\n", BAD_HOSTS},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", BAD_HOSTS},
    {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", BAD_HOST},
    {"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", BAD_HOST},
    {REQUEST "Expect: 200-maybe\r\n\r\n",
     "fail unsupported 417 no expectation but 100-continue is known\n"},
    {REQUEST "1:1\r\n2:1\r\n3:1\r\n4:1\r\n5:1\r\n6:1\r\n7:1\r\n8:1\r\n9:1\r\na:1\r\nb:1\r\nc:1\r\n"
             "d:1\r\ne:1\r\nf:1\r\ng:1\r\n\r\n",
     "fail limit 431 too many header fields\n"},
    /* Request lines. */
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET},
    {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET},
    {"GET /\tx HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET},
    {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET},
    {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET},
    {"GET x HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET},
    {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET},
    {"GET ftp://h/x HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET},
    {"CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n", BAD_TARGET},
    {"GET /\r\n\r\n", BAD_VERSION},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", BAD_VERSION},
    {"GET / http/1.1\r\nHost: a\r\n\r\n", BAD_VERSION},
    {"GET / HTTP/1.\r\nHost: a\r\n\r\n", BAD_VERSION},
    {"GET / HTTP/11.1\r\nHost: a\r\n\r\n", BAD_VERSION},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "fail unsupported 505 only HTTP/1.0 and 1.1 are spoken "
                                          "here\n"},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "fail unsupported 505 only HTTP/1.0 and 1.1 are spoken "
                                         "here\n"},
    {"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\nHost: a\r\n\r\n", BAD_METHOD},
    {"GET\r\n\r\n", BAD_METHOD},
    {"\x16\x03\x01\x02", BAD(400, "this is not HTTP/1")},
    {" GET / HTTP/1.1\r\n\r\n", BAD(400, "this is not HTTP/1")},
    /* Chunks. */
    {CHUNKED "g\r\n", CHUNKED_OUT BAD_SIZE},
    {CHUNKED "\r\n", CHUNKED_OUT BAD_SIZE},
    {CHUNKED "-1\r\n", CHUNKED_OUT BAD_SIZE},
    {CHUNKED "0x1\r\n", CHUNKED_OUT BAD_SIZE},
    {CHUNKED " 1\r\n", CHUNKED_OUT BAD_SIZE},
    {CHUNKED "1\n", CHUNKED_OUT BAD_SIZE},
    {CHUNKED "00000000000000001\r\n", CHUNKED_OUT BAD(400, "a chunk size has too many digits")},
    {CHUNKED "1\rx", CHUNKED_OUT BAD(400, "a chunk does not end with CRLF")},
    {CHUNKED "1;a\nb\r\n", CHUNKED_OUT BAD(400, "a chunk extension has a control byte")},
    {CHUNKED "1\r\nABC", CHUNKED_OUT "data A\n" BAD(400, "a chunk does not end with CRLF")},
    {CHUNKED "1\r\nA\nC", CHUNKED_OUT "data A\n" BAD(400, "a chunk does not end with CRLF")},
    {CHUNKED "0\r\nA: b\n\r\n", CHUNKED_OUT BAD(400, "a line ends without CR")},
    {CHUNKED "0\r\nHost: b\r\n\r\n",
     CHUNKED_OUT BAD(400, "a trailer field that frames the message")},
    {CHUNKED "0\r\nContent-Length: 1\r\n\r\n",
     CHUNKED_OUT BAD(400, "a trailer field that frames the message")},
};

#define OK_STATUS "HTTP/1.1 200 OK\r\n"
#define BAD_LINE  BAD(502, "the status line is not valid")

static const struct sample responses[] = {
    {OK_STATUS "Content-Length: 2\r\n\r\nhi",
     "200 'OK' v=11 body=length/2 keep\n  content-length=2\ndata hi\nend\neof done\n"},
    {OK_STATUS "Content-Length: 3\r\n\r\nhi",
     "200 'OK' v=11 body=length/3 keep\n  content-length=3\ndata hi\neof truncated\n"},
    {OK_STATUS "\r\nall until the end", "200 'OK' v=11 body=close/0 close\n"
                                        "data all until the end\nend\n"},
    {OK_STATUS "\r\n", "200 'OK' v=11 body=close/0 close\nend\n"},
    {OK_STATUS "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n",
     "200 'OK' v=11 body=chunked/0 keep\n  transfer-encoding=chunked\ndata hi\nend\n"
     "  grpc-status=0\neof done\n"},
    {"HTTP/1.1 204\r\n\r\n", "204 '' v=11 body=none/0 keep\nend\neof done\n"},
    {"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
     "204 'No Content' v=11 body=none/0 keep\n  transfer-encoding=chunked\nend\neof done\n"},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n",
     "304 'Not Modified' v=11 body=none/99 keep\n  content-length=99\nend\neof done\n"},
    {"HTTP/1.1 100 Continue\r\n\r\n" OK_STATUS "Content-Length: 0\r\n\r\n",
     "100 'Continue' v=11 body=none/0 keep\nend\n200 'OK' v=11 body=length/0 keep\n"
     "  content-length=0\nend\neof done\n"},
    {"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
     "200 'OK' v=10 body=length/0 close\n  content-length=0\nend\neof done\n"},
    {"HTTP/1.1 101 Switching\r\n\r\n", "101 'Switching' v=11 body=none/0 close\nend\neof done\n"},
    {OK_STATUS, "eof truncated\n"},
    {"", "eof done\n"},
    {"\r\n" OK_STATUS "\r\n", BAD(502, "this is not HTTP/1")},
    {"HTTP/1.1 20 OK\r\n\r\n", BAD(502, "the status is not three digits")},
    {"HTTP/1.1 2000 OK\r\n\r\n", BAD_LINE},
    {"HTTP/1.1 099 OK\r\n\r\n", BAD_LINE},
    {"HTTP/1.1 200 O\x01K\r\n\r\n", BAD_LINE},
    {"HTTP/1.1  200 OK\r\n\r\n", BAD(502, "the status is not three digits")},
    {"HTTP/2.0 200 OK\r\n\r\n", "fail unsupported 502 the answer is not HTTP/1.0 or 1.1\n"},
    {"ICY 200 OK\r\n\r\n", BAD(502, "the status line has no valid HTTP version")},
    {OK_STATUS "Transfer-Encoding: gzip\r\n\r\n",
     "fail unsupported 502 no transfer coding but chunked is known\n"},
};

struct cuts {
    size_t first; /* size of the first piece, then all the rest */
    size_t each;  /* or pieces of this size */
    uint64_t random;
};

static size_t cut(void *context, size_t left)
{
    struct cuts *cuts = context;
    size_t size = left;
    if (cuts->first > 0) {
        size = cuts->first;
        cuts->first = 0;
    } else if (cuts->each > 0) {
        size = cuts->each;
    } else if (cuts->random > 0) {
        cuts->random = cuts->random * 6364136223846793005u + 1442695040888963407u;
        size = 1 + (cuts->random >> 33) % 12;
    }
    return size < left ? size : left;
}

static void play_one(struct http1_play play, struct cuts cuts, struct tn_bytes in, const char *out)
{
    struct tn_buf got;
    tn_buf_init(&got, 0);
    play.next_cut = cut;
    play.context = &cuts;
    http1_play(&play, in, &got);
    tn_buf_put_byte(&got, 0);
    assert_string_equal(got.data, out);
    tn_buf_deinit(&got);
}

static void play_every_way(struct http1_play play, const char *in, const char *out)
{
    struct tn_bytes bytes = tn_bytes_make(in, strlen(in));
    play_one(play, (struct cuts){0}, bytes, out);
    for (size_t at = 1; at < bytes.size; at++) {
        play_one(play, (struct cuts){.first = at}, bytes, out);
    }
    play_one(play, (struct cuts){.each = 1}, bytes, out);
    for (uint64_t seed = 1; seed < 8; seed++) {
        play_one(play, (struct cuts){.random = seed}, bytes, out);
    }
}

static void requests_give_the_same_at_every_cut(void **unused)
{
    (void)unused;
    size_t live = tn_mem_live();
    for (size_t i = 0; i < TN_COUNT(requests); i++) {
        play_every_way((struct http1_play){0}, requests[i].in, requests[i].out);
    }
    assert_int_equal(tn_mem_live(), live);
}

static void responses_give_the_same_at_every_cut(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < TN_COUNT(responses); i++) {
        play_every_way((struct http1_play){.response = true, .eof = true}, responses[i].in,
                       responses[i].out);
    }
    play_every_way((struct http1_play){.response = true, .eof = true, .head_request = true},
                   OK_STATUS "Content-Length: 7\r\n\r\n",
                   "200 'OK' v=11 body=none/7 keep\n  content-length=7\nend\neof done\n");
}

static void limits_hold_to_the_byte(void **unused)
{
    (void)unused;
    static const char in[] = "GET /56789 HTTP/1.0\r\nA: b\r\n\r\n"; /* 21 + 6 + 2 */
    static const char out[] = "GET host= path=/56789 query= v=10 body=none/0 close\n  a=b\nend\n";
    static const char line[] = "fail limit 414 the first line is too long\n";
    static const char head[] = "fail limit 431 the header section is too large\n";
    struct http1_play play = {.limits = {.line_bytes_max = 21, .head_bytes_max = 29}};
    play_every_way(play, in, out);
    play.limits.line_bytes_max = 20;
    play_every_way(play, in, line);
    play.limits = (struct tn_http1_limits){.head_bytes_max = 28};
    play_every_way(play, in, head);
    play.limits = (struct tn_http1_limits){.head_bytes_max = 20};
    play_every_way(play, in, line);
    play.limits = (struct tn_http1_limits){.header_count_max = 1};
    play_every_way(play, in, out);
    play_every_way(play, "GET / HTTP/1.0\r\na:\r\nb:\r\n\r\n",
                   "fail limit 431 too many header fields\n");
    play.limits = (struct tn_http1_limits){.chunk_bytes_max = 4};
    play_every_way(play, CHUNKED "1;ab\r\nA\r\n1;a\r\nB\r\n0\r\n\r\n",
                   CHUNKED_OUT "data AB\nend\n");
    play_every_way(play, CHUNKED "1;ab\r\nA\r\n1;abc\r\nB\r\n",
                   CHUNKED_OUT "data A\nfail limit 413 too many bytes of chunk extensions\n");
    play.limits = (struct tn_http1_limits){.head_bytes_max = 64, .line_bytes_max = 40};
    play_every_way(play, CHUNKED "0\r\na: 0123456789012345678901234567890123456789\r\n\r\n",
                   CHUNKED_OUT "fail limit 431 the header section is too large\n");
}

/* Any bytes: no crash, and whole, byte-wise and random cuts agree. */
static void flipped_bits_never_depend_on_cuts(void **unused)
{
    (void)unused;
    uint64_t seed = 20261123;
    print_message("seed %llu\n", (unsigned long long)seed);
    for (size_t i = 0; i < 4 * TN_COUNT(requests); i++) {
        const char *in = requests[i % TN_COUNT(requests)].in;
        uint8_t bytes[512];
        size_t size = strlen(in);
        assert_true(size <= sizeof(bytes));
        memcpy(bytes, in, size);
        for (size_t flips = 0; flips < 3; flips++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[(seed >> 33) % size] ^= (uint8_t)(1u << (seed >> 61));
        }
        struct tn_buf whole;
        tn_buf_init(&whole, 0);
        http1_play(&(struct http1_play){.response = i % 2 == 1, .eof = true},
                   tn_bytes_make(bytes, size), &whole);
        tn_buf_put_byte(&whole, 0);
        struct http1_play play = {.response = i % 2 == 1, .eof = true};
        play_one(play, (struct cuts){.each = 1}, tn_bytes_make(bytes, size),
                 (const char *)whole.data);
        play_one(play, (struct cuts){.random = seed | 1}, tn_bytes_make(bytes, size),
                 (const char *)whole.data);
        tn_buf_deinit(&whole);
    }
}

static void cut_head_without_memory_fails_alone(void **unused)
{
    (void)unused;
    struct tn_header headers[4];
    uint8_t first[] = "GET / HTTP/1.1\r\nHo";
    for (unsigned source = 0; source < 2; source++) {
        struct tn_http1 parser;
        tn_http1_init(&parser,
                      &(struct tn_http1_options){.headers = headers,
                                                 .header_room = 4,
                                                 .source = source ? tn_mem_source() : NULL});
        size_t used = 0;
        struct tn_http1_event event;
        tn_mem_fail_from(1, false);
        assert_int_equal(tn_http1_next(&parser, first, sizeof(first) - 1, &used, &event), TN_NOMEM);
        tn_mem_fail_from(0, false);
        assert_int_equal(parser.status, 503);
        assert_int_equal(tn_http1_next(&parser, first, sizeof(first) - 1, &used, &event),
                         TN_INVALID);
        tn_http1_deinit(&parser);
        tn_http1_deinit(&parser);
    }
}

/* What the caller needs to go on with the next message, and that nothing is kept between two. */
static void parser_stops_at_the_end_of_a_message(void **unused)
{
    (void)unused;
    struct tn_header headers[4];
    struct tn_http1 parser;
    tn_http1_init(&parser, &(struct tn_http1_options){
                               .headers = headers, .header_room = 4, .source = tn_mem_source()});
    uint8_t two[] = "GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n";
    size_t one = (sizeof(two) - 1) / 2;
    size_t used = 0;
    struct tn_http1_event event;
    assert_true(tn_http1_is_idle(&parser));
    assert_int_equal(tn_http1_next(&parser, two, sizeof(two) - 1, &used, &event), TN_OK);
    assert_int_equal(used, one);
    assert_ptr_equal(event.head.path.data, two + 4); /* parsed where it lies */
    assert_int_equal(tn_http1_next(&parser, two + one, one, &used, &event), TN_OK);
    assert_int_equal(event.kind, TN_HTTP1_END);
    assert_int_equal(used, 0);
    assert_int_equal(tn_http1_next(&parser, two + one, one, &used, &event), TN_DONE);
    assert_int_equal(used, 0);
    tn_http1_again(&parser);
    assert_true(tn_http1_is_idle(&parser));
    assert_int_equal(tn_http1_next(&parser, two + one, one, &used, &event), TN_OK);
    assert_true(tn_str_is(event.head.path, "/b"));
    tn_http1_deinit(&parser);
}

static void what_is_written_is_read_back(void **unused)
{
    (void)unused;
    struct tn_buf buf;
    tn_buf_init(&buf, 0);
    tn_http1_put_request(&buf, TN_STR_OF("POST"), TN_STR_OF("/v2?x"), TN_STR_OF("h:1"));
    tn_http1_put_content_length(&buf, 1205);
    tn_http1_put_head_end(&buf);
    tn_buf_put_byte(&buf, 0);
    assert_string_equal(buf.data,
                        "POST /v2?x HTTP/1.1\r\nhost: h:1\r\ncontent-length: 1205\r\n\r\n");
    tn_buf_reset(&buf);
    tn_http1_put_status(&buf, 431);
    tn_http1_put_header(&buf, TN_STR_OF("transfer-encoding"), TN_STR_OF("chunked"));
    tn_http1_put_head_end(&buf);
    tn_http1_put_chunk(&buf, 26);
    tn_buf_put_text(&buf, "abcdefghijklmnopqrstuvwxyz");
    tn_http1_put_chunk_end(&buf);
    tn_http1_put_last_chunk(&buf);
    tn_http1_put_header(&buf, TN_STR_OF("a"), TN_STR_OF(""));
    tn_http1_put_head_end(&buf);
    tn_buf_put_byte(&buf, 0);
    play_every_way((struct http1_play){.response = true, .eof = true}, (const char *)buf.data,
                   "431 'Request Header Fields Too Large' v=11 body=chunked/0 keep\n"
                   "  transfer-encoding=chunked\ndata abcdefghijklmnopqrstuvwxyz\nend\n  a=\n"
                   "eof done\n");
    tn_buf_reset(&buf);
    tn_http1_put_content_length(&buf, UINT64_MAX);
    tn_http1_put_chunk(&buf, UINT64_MAX);
    tn_http1_put_status(&buf, 200);
    tn_http1_put_status(&buf, 799);
    tn_buf_put_byte(&buf, 0);
    assert_string_equal(buf.data, "content-length: 18446744073709551615\r\nffffffffffffffff\r\n"
                                  "HTTP/1.1 200 OK\r\nHTTP/1.1 799 Unknown\r\n");
    tn_buf_deinit(&buf);
}

/* Seeds for fuzz/http1.c: its first byte says which side, the rest is the wire. */
static int write_corpus(const char *folder)
{
    for (size_t i = 0; i < TN_COUNT(requests) + TN_COUNT(responses); i++) {
        bool response = i >= TN_COUNT(requests);
        const char *in = response ? responses[i - TN_COUNT(requests)].in : requests[i].in;
        char path[400];
        snprintf(path, sizeof(path), "%s/seed-%03zu", folder, i);
        FILE *file = fopen(path, "wb");
        if (file == NULL) {
            return 1;
        }
        fputc(response ? 1 : 4, file);
        fwrite(in, 1, strlen(in), file);
        if (fclose(file) != 0) {
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--corpus") == 0) {
        return write_corpus(argv[2]);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_give_the_same_at_every_cut),
        cmocka_unit_test(responses_give_the_same_at_every_cut),
        cmocka_unit_test(limits_hold_to_the_byte),
        cmocka_unit_test(flipped_bits_never_depend_on_cuts),
        cmocka_unit_test(cut_head_without_memory_fails_alone),
        cmocka_unit_test(parser_stops_at_the_end_of_a_message),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
