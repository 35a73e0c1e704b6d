/* The server side of tests on struct h2_pair: handlers that echo, keep and stream, what they
 * counted, and a pair with routes for them that is checked for leaks when it closes. One pair at a
 * time. */
#ifndef TN_TESTS_H2_CALLS_H
#define TN_TESTS_H2_CALLS_H

#include "tests/support/h2_pair.h"

extern struct h2_pair pair;
extern const char hello[6];

/* The call that a handler keeps for the test to finish. */
extern struct tn_call *kept;
extern size_t kept_count, cancelled_count, message_count, ended_count, writable_count;
extern bool pause_next; /* the streaming handler pauses after its next message */

extern const struct tn_handler echo_handler, keep_handler, stream_handler;
void keep(void *context, struct tn_call *call);

/* Routes /t.T/Echo, /t.T/Keep, /t.T/Stream and /echo. */
enum tn_err try_open(const struct tn_server_limits *limits, uint32_t window);
void open_pair(const struct tn_server_limits *limits);
void close_pair(size_t live);

struct h2_request echo_request(uint8_t *message); /* room for 16 bytes */
void assert_hello(const struct h2_stream *stream);
void assert_calmed(uint32_t code);

#endif
