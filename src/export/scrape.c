/* See scrape.h. zlib takes its memory from base/mem, so that a failing allocation is tested too. */
#include "export/scrape.h"

#include "base/mem.h"
#include "core/assert.h"
#include "export/accept.h"

#include <zlib.h>

enum {
    STEP_SIZE = 32 * 1024,
    OUT_MAX = 64 * 1024 * 1024,
    GZIP_LEVEL = 1,
    GZIP_WINDOW = 13 + 16, /* 8 KB; 16 asks for gzip's frame */
    GZIP_MEMORY = 6,
};

struct tn_scrape_gzip {
    z_stream stream;
};

static unsigned max_of(unsigned a, unsigned b)
{
    return a > b ? a : b;
}

enum tn_prometheus_format tn_scrape_format(struct tn_str accept)
{
    unsigned open = 0, text = 0;
    struct tn_accept_item item;
    while (tn_accept_next(&accept, &item)) {
        bool any_version = item.version.size == 0;
        if (tn_accept_is(&item, "application/openmetrics-text")) {
            bool ours = any_version || tn_str_is(item.version, "1.0.0");
            open = ours ? max_of(open, item.quality) : open;
        } else if (tn_accept_is(&item, "text/plain")) {
            bool ours = any_version || tn_str_is(item.version, "0.0.4");
            text = ours ? max_of(text, item.quality) : text;
        } else if (tn_accept_is(&item, "text/*") || tn_accept_is(&item, "*/*")) {
            text = max_of(text, item.quality);
        }
    }
    return open > 0 && open >= text ? TN_PROMETHEUS_OPENMETRICS : TN_PROMETHEUS_TEXT;
}

static void *gzip_take(void *unused, unsigned count, unsigned size)
{
    (void)unused;
    return tn_mem_take_zeroed(count, size);
}

static void gzip_give(void *unused, void *memory)
{
    (void)unused;
    tn_mem_give(memory);
}

static struct tn_scrape_gzip *gzip_create(void)
{
    struct tn_scrape_gzip *gzip = tn_mem_take_zeroed(1, sizeof(*gzip));
    if (gzip == NULL) {
        return NULL;
    }
    gzip->stream.zalloc = gzip_take;
    gzip->stream.zfree = gzip_give;
    if (deflateInit2(&gzip->stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        tn_mem_give(gzip);
        return NULL;
    }
    return gzip;
}

enum tn_err tn_scrape_begin(struct tn_scrape *scrape, const struct tn_scrape_options *options)
{
    struct tn_scrape_gzip *gzip = NULL;
    if (tn_accept_quality(options->accept_encoding, "gzip") > 0) {
        gzip = gzip_create();
        if (gzip == NULL) {
            return TN_NOMEM;
        }
    }
    *scrape = (struct tn_scrape){.gzip = gzip};
    scrape->encoder.metrics = options->metrics;
    scrape->encoder.format = tn_scrape_format(options->accept);
    size_t most = options->answer_bytes_max > 0 ? options->answer_bytes_max : OUT_MAX;
    tn_buf_init(&scrape->step, most);
    tn_buf_init(&scrape->out, most);
    return TN_OK;
}

/* Moves the step's text into the answer. */
static enum tn_err gzip_step(struct tn_scrape *scrape, bool last)
{
    z_stream *stream = &scrape->gzip->stream;
    stream->next_in = scrape->step.data;
    stream->avail_in = (uInt)scrape->step.size;
    int done = Z_OK;
    do {
        size_t room = deflateBound(stream, stream->avail_in);
        uint8_t *at = tn_buf_reserve(&scrape->out, room);
        if (at == NULL) {
            return scrape->out.failed;
        }
        stream->next_out = at;
        stream->avail_out = (uInt)room;
        done = deflate(stream, last ? Z_FINISH : Z_NO_FLUSH);
        TN_ASSERT(done == Z_OK || done == Z_STREAM_END || done == Z_BUF_ERROR);
        tn_buf_commit(&scrape->out, room - stream->avail_out);
    } while (stream->avail_in > 0 || (last && done != Z_STREAM_END));
    tn_buf_reset(&scrape->step);
    return TN_OK;
}

enum tn_err tn_scrape_step(struct tn_scrape *scrape)
{
    struct tn_buf *text = scrape->gzip != NULL ? &scrape->step : &scrape->out;
    size_t start = text->size;
    enum tn_err more = TN_AGAIN;
    while (more == TN_AGAIN && text->size - start < STEP_SIZE) {
        more = tn_prometheus_next(&scrape->encoder, text);
    }
    if (more < 0 || scrape->gzip == NULL) {
        return more;
    }
    enum tn_err err = gzip_step(scrape, more == TN_DONE);
    return err == TN_OK ? more : err;
}

void tn_scrape_deinit(struct tn_scrape *scrape)
{
    if (scrape == NULL) {
        return;
    }
    if (scrape->gzip != NULL) {
        deflateEnd(&scrape->gzip->stream);
        tn_mem_give(scrape->gzip);
        scrape->gzip = NULL;
    }
    tn_buf_deinit(&scrape->step);
    tn_buf_deinit(&scrape->out);
}
