/* See remote_feed.h. */
#include "serve/remote_feed.h"

#include "base/mem.h"
#include "core/assert.h"
#include "export/remote_writer.h"

#include <stdio.h>
#include <unistd.h>

enum { HOST_MAX = 64 };

struct tn_remote_feed {
    struct tn_remote_writer *writer;
    struct tn_remote_writer_label labels[2];
    char instance[HOST_MAX + sizeof(":65535")];
};

enum tn_err tn_remote_feed_create(const struct tn_remote_feed_options *options,
                                  struct tn_remote_feed **ret_feed, struct tn_fault *fault)
{
    struct tn_remote_feed *feed = tn_mem_take_zeroed(1, sizeof(*feed));
    if (feed == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for remote write");
    }
    char host[HOST_MAX] = "";
    if (gethostname(host, sizeof(host) - 1) != 0 || host[0] == '\0') {
        snprintf(host, sizeof(host), "localhost");
    }
    snprintf(feed->instance, sizeof(feed->instance), "%s:%u", host, options->port);
    feed->labels[0] = (struct tn_remote_writer_label){TN_STR("job"), TN_STR("tenon-serve")};
    feed->labels[1] =
        (struct tn_remote_writer_label){TN_STR("instance"), tn_str_from(feed->instance)};
    struct tn_remote_writer_options writer = {
        .loop = options->loop,
        .metrics = options->metrics,
        .url = options->url,
        .external = feed->labels,
        .external_count = TN_COUNT(feed->labels),
        .interval_ns = options->interval_ns,
    };
    enum tn_err err = tn_remote_writer_create(&writer, &feed->writer, fault);
    if (err != TN_OK) {
        tn_remote_feed_destroy(feed);
        return err;
    }
    *ret_feed = feed;
    return TN_OK;
}

void tn_remote_feed_destroy(struct tn_remote_feed *feed)
{
    if (feed != NULL) {
        tn_remote_writer_destroy(feed->writer);
        tn_mem_give(feed);
    }
}
