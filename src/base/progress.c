/* Progress of a long job; see progress.h. */
#include "base/progress.h"

#include "base/clock.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_MAX = 40, BAR_MIN = 10, WIDTH_DEFAULT = 80 };

#define REDRAW_NS (100 * TN_NS_PER_MS)
#define LINE_NS   (5 * TN_NS_PER_S)

struct tn_progress {
    const char *label;
    uint64_t total;
    uint64_t done;
    uint64_t began_ns;
    uint64_t next_ns; /* nothing is written before */
    bool terminal;
    bool time;
};

/* "950", "1.2k", "34M". */
static void put_count(struct tn_buf *out, double count)
{
    static const char units[] = " kMGTP";
    size_t unit = 0;
    while (count >= 999.5 && unit + 1 < sizeof(units) - 1) {
        count /= 1000;
        unit++;
    }
    tn_buf_printf(out, count < 9.95 && unit > 0 ? "%.1f" : "%.0f", count);
    if (unit > 0) {
        tn_buf_put_byte(out, (uint8_t)units[unit]);
    }
}

static void put_seconds(struct tn_buf *out, double seconds)
{
    unsigned long whole = seconds < 360000 ? (unsigned long)(seconds + 0.5) : 360000;
    if (whole >= 3600) {
        tn_buf_printf(out, "%luh%02lum", whole / 3600, whole / 60 % 60);
    } else if (whole >= 60) {
        tn_buf_printf(out, "%lum%02lus", whole / 60, whole % 60);
    } else {
        tn_buf_printf(out, "%lus", whole);
    }
}

static void put_bar(struct tn_buf *out, double share, unsigned columns)
{
    unsigned full = (unsigned)(share * columns);
    tn_buf_put_byte(out, '[');
    for (unsigned i = 0; i < columns; i++) {
        tn_buf_put_byte(out, i < full ? '=' : i == full ? '>' : ' ');
    }
    tn_buf_put_text(out, "] ");
}

static void put_amount(struct tn_buf *out, const struct tn_progress_view *view, uint64_t amount)
{
    if (view->time) {
        put_seconds(out, (double)amount / (double)TN_NS_PER_S);
    } else {
        tn_buf_printf(out, "%llu", (unsigned long long)amount);
    }
}

/* What stands behind the bar. */
static void put_tail(struct tn_buf *out, const struct tn_progress_view *view, double share)
{
    double seconds = (double)view->elapsed_ns / (double)TN_NS_PER_S;
    double rate = seconds > 0 ? (double)view->done / seconds : 0;
    if (view->total > 0) {
        tn_buf_printf(out, "%3.0f %%  ", share * 100);
    }
    put_amount(out, view, view->done);
    if (view->total > 0) {
        tn_buf_put_byte(out, '/');
        put_amount(out, view, view->total);
    }
    if (rate > 0 && !view->time) {
        tn_buf_put_text(out, "  ");
        put_count(out, rate);
        tn_buf_put_text(out, "/s");
    }
    if (rate > 0 && view->total > view->done) {
        tn_buf_put_text(out, "  ");
        put_seconds(out, (double)(view->total - view->done) / rate);
        tn_buf_put_text(out, " left");
    }
}

void tn_progress_render(const struct tn_progress_view *view, struct tn_buf *out)
{
    struct tn_buf tail = {0};
    double share = view->total > 0 ? (double)view->done / (double)view->total : 0;
    share = share > 1 ? 1 : share;
    put_tail(&tail, view, share);
    tn_buf_printf(out, "%s  ", view->label);
    size_t used = strlen(view->label) + 2 + tail.size + 4;
    if (view->total > 0 && view->width >= used + BAR_MIN) {
        size_t room = view->width - used;
        put_bar(out, share, room < BAR_MAX ? (unsigned)room : BAR_MAX);
    }
    tn_buf_put_str(out, tn_buf_str(&tail));
    tn_buf_deinit(&tail);
}

static void draw(const struct tn_progress *progress, uint64_t now)
{
    struct tn_progress_view view = {.label = progress->label,
                                    .done = progress->done,
                                    .total = progress->total,
                                    .elapsed_ns = now - progress->began_ns,
                                    .time = progress->time};
    if (progress->terminal) {
        struct winsize size;
        bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
        view.width = known ? size.ws_col : WIDTH_DEFAULT;
    }
    struct tn_buf line = {0};
    tn_buf_put_text(&line, progress->terminal ? "\r" : "");
    tn_progress_render(&view, &line);
    tn_buf_put_text(&line, progress->terminal ? "\x1b[K" : "\n");
    ssize_t written = write(STDERR_FILENO, line.data, line.size);
    (void)written; /* a picture that is lost harms nobody */
    tn_buf_deinit(&line);
}

struct tn_progress *tn_progress_begin(struct tn_arena *arena, const char *label, uint64_t total,
                                      bool enabled)
{
    struct tn_progress *progress = enabled ? TN_ARENA_NEW(arena, struct tn_progress) : NULL;
    if (progress != NULL) {
        progress->label = label;
        progress->total = total;
        progress->began_ns = tn_clock_mono_ns();
        progress->terminal = isatty(STDERR_FILENO) == 1;
        progress->next_ns = progress->began_ns + (progress->terminal ? REDRAW_NS : LINE_NS);
    }
    return progress;
}

struct tn_progress *tn_progress_begin_time(struct tn_arena *arena, const char *label,
                                           uint64_t total_ns, bool enabled)
{
    struct tn_progress *progress = tn_progress_begin(arena, label, total_ns, enabled);
    if (progress != NULL) {
        progress->time = true;
    }
    return progress;
}

void tn_progress_set(struct tn_progress *progress, uint64_t done)
{
    if (progress == NULL) {
        return;
    }
    progress->done = done;
    uint64_t now = tn_clock_mono_ns();
    if (now >= progress->next_ns) {
        progress->next_ns = now + (progress->terminal ? REDRAW_NS : LINE_NS);
        draw(progress, now);
    }
}

void tn_progress_end(struct tn_progress *progress)
{
    if (progress == NULL) {
        return;
    }
    if (progress->terminal) {
        ssize_t written = write(STDERR_FILENO, "\r\x1b[K", 4);
        (void)written;
    } else {
        draw(progress, tn_clock_mono_ns());
    }
}
