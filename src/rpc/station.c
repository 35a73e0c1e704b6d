/* One loop's shell of a server; see station.h. Memory: two buffers and the lane's pools, taken at
 * init. Threads: the loop's; commands come by the inbox. Bounds: the limits, INBOX_ROOM commands.
 */
#include "rpc/station.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "core/assert.h"
#include "rpc/call_state.h"
#include "rpc/conn.h"
#include "rpc/listener.h"

enum { INBOX_ROOM = 64 };

struct command {
    bool drain; /* else listen */
    struct tn_station_listen listen;
    uint64_t deadline_ns;
    void (*drained)(struct tn_station *station);
};

static void run_hook(struct tn_turn_hook *hook)
{
    struct tn_station *station = TN_CONTAINER(hook, struct tn_station, hook);
    while (station->dirty != NULL) {
        struct tn_conn *conn = station->dirty;
        station->dirty = conn->dirty_next;
        conn->dirty = false;
        tn_conn_flush(conn);
    }
    tn_log_batch_flush(&station->lane.access_lines);
}

static void report_drained(struct tn_station *station)
{
    void (*drained)(struct tn_station *) = station->drained;
    station->drained = NULL;
    tn_timer_disarm(&station->drain_timer);
    if (drained != NULL) {
        drained(station);
    }
}

void tn_station_check_drained(struct tn_station *station)
{
    if (station->draining && station->conn_count == 0 && station->drained != NULL) {
        report_drained(station);
    }
}

/* The drain's deadline: what is left is cut off and counted. */
static void end_drain(struct tn_timer *timer)
{
    struct tn_station *station = TN_CONTAINER(timer, struct tn_station, drain_timer);
    struct tn_conn *next = NULL;
    for (struct tn_conn *conn = station->conns; conn != NULL; conn = next) {
        next = conn->next;
        station->cut += conn->wire != NULL ? conn->wire->call_count : 0;
        tn_conn_close(conn);
    }
    if (station->drained != NULL) {
        report_drained(station);
    }
}

static void begin_drain(struct tn_station *station, const struct command *command)
{
    station->draining = true;
    station->drained = command->drained;
    while (station->listeners != NULL) {
        tn_listener_close(station->listeners);
    }
    if (command->deadline_ns != UINT64_MAX) {
        tn_timer_arm(&station->drain_timer, command->deadline_ns);
    }
    struct tn_conn *next = NULL;
    for (struct tn_conn *conn = station->conns; conn != NULL; conn = next) {
        next = conn->next;
        tn_conn_drain(conn);
    }
    tn_station_check_drained(station);
}

static void begin_listen(struct tn_station *station, const struct tn_station_listen *listen)
{
    if (station->draining || tn_listener_open(station, listen) < 0) {
        if (!station->draining) {
            tn_log_error("no memory to accept connections on one of the loops");
        }
        close(listen->fd);
    }
}

static void run_commands(struct tn_inbox *inbox, void **items, size_t count)
{
    struct tn_station *station = TN_CONTAINER(inbox, struct tn_station, inbox);
    station->lane.now_ns = tn_loop_now_ns(station->lane.loop);
    for (size_t i = 0; i < count; i++) {
        struct command *command = items[i];
        if (command->drain) {
            begin_drain(station, command);
        } else {
            begin_listen(station, &command->listen);
        }
        tn_mem_give(command);
    }
}

static enum tn_err post(struct tn_station *station, const struct command *command)
{
    struct command *copy = tn_mem_take(sizeof(*copy));
    if (copy == NULL) {
        return TN_NOMEM;
    }
    *copy = *command;
    enum tn_err err = tn_chan_push(&station->inbox.chan, copy);
    if (err < 0) {
        tn_mem_give(copy);
    }
    return err;
}

enum tn_err tn_station_listen(struct tn_station *station, const struct tn_station_listen *listen)
{
    const struct command command = {.listen = *listen};
    return post(station, &command);
}

enum tn_err tn_station_drain(struct tn_station *station, uint64_t deadline_ns,
                             void (*drained)(struct tn_station *station))
{
    const struct command command = {.drain = true, .deadline_ns = deadline_ns, .drained = drained};
    return post(station, &command);
}

enum tn_err tn_station_init(struct tn_station *station, const struct tn_lane_options *lane,
                            struct tn_station_shared *shared)
{
    memset(station, 0, sizeof(*station));
    station->shared = shared;
    tn_lane_init(&station->lane, lane);
    tn_timer_init(&station->drain_timer, lane->loop, end_drain);
    station->in = tn_mem_take_aligned(TN_STATION_IN, 4096);
    void *out = tn_mem_take_aligned(TN_STATION_OUT, 4096);
    tn_out_init(&station->out, out, TN_STATION_OUT);
    if (station->in == NULL || out == NULL) {
        goto fail;
    }
    if (tn_inbox_init(&station->inbox, lane->loop, INBOX_ROOM, run_commands) < 0) {
        goto fail;
    }
    station->inbox_ready = true;
    station->hook.run = run_hook;
    tn_loop_add_turn_hook(lane->loop, &station->hook);
    station->hooked = true;
    return TN_OK;
fail:
    tn_station_deinit(station);
    return TN_NOMEM;
}

/* Commands that no turn has run. */
static void drop_commands(struct tn_station *station)
{
    void *item = NULL;
    while (tn_chan_drain(&station->inbox.chan, &item, 1) == 1) {
        struct command *command = item;
        if (!command->drain) {
            close(command->listen.fd);
        }
        tn_mem_give(command);
    }
}

void tn_station_cut(struct tn_station *station)
{
    station->drained = NULL;
    while (station->listeners != NULL) {
        tn_listener_close(station->listeners);
    }
    while (station->conns != NULL) {
        tn_conn_close(station->conns);
    }
}

void tn_station_deinit(struct tn_station *station)
{
    if (station == NULL) {
        return;
    }
    tn_station_cut(station);
    if (station->hooked) {
        tn_loop_remove_turn_hook(station->lane.loop, &station->hook);
        tn_timer_disarm(&station->drain_timer);
    }
    if (station->inbox_ready) {
        drop_commands(station);
        tn_inbox_deinit(&station->inbox);
    }
    tn_lane_deinit(&station->lane);
    tn_mem_give(station->in);
    tn_mem_give(station->out.data);
    *station = (struct tn_station){0};
}
