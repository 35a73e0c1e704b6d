/* Lines for the operator, on stderr: logfmt by default, JSON by choice. Only shells log; library
 * code returns a fault. One line is one write(2), so lines of threads never mix.
 *
 *     tn_log_info("model loaded", TN_LOG_STR("model", name), TN_LOG_U64("version", 3));
 *     -> time=2026-11-23T13:50:00.123Z level=info msg="model loaded" model=silero version=3
 *
 * Values are escaped, so no input can forge a line, break the JSON or drive the terminal; bytes
 * that are not UTF-8 show as such. Never log a secret: there is no field type for one. Threads:
 * any. Bounds: a line is cut at 4 KiB and says so (truncated=true); a storm is limited per call
 * site to 100 lines a second: the next line that goes out says how many did not (dropped=17). */
#ifndef TN_BASE_LOG_H
#define TN_BASE_LOG_H

#include "core/bytes.h"
#include "core/err.h"

#include <stdatomic.h>

enum tn_log_level { TN_LOG_DEBUG, TN_LOG_INFO, TN_LOG_WARN, TN_LOG_ERROR };
enum tn_log_format { TN_LOG_LOGFMT, TN_LOG_JSON };

enum tn_log_kind { TN_LOG_KIND_STR, TN_LOG_KIND_I64, TN_LOG_KIND_U64, TN_LOG_KIND_F64 };

struct tn_log_field {
    const char *key;
    enum tn_log_kind kind;
    struct tn_str str;
    int64_t i64;
    uint64_t u64;
    double f64;
};

#define TN_LOG_STR(k, v)                                                                           \
    ((struct tn_log_field){.key = (k), .kind = TN_LOG_KIND_STR, .str = tn_str_from(v)})
#define TN_LOG_VIEW(k, v) ((struct tn_log_field){.key = (k), .kind = TN_LOG_KIND_STR, .str = (v)})
#define TN_LOG_I64(k, v)  ((struct tn_log_field){.key = (k), .kind = TN_LOG_KIND_I64, .i64 = (v)})
#define TN_LOG_U64(k, v)  ((struct tn_log_field){.key = (k), .kind = TN_LOG_KIND_U64, .u64 = (v)})
#define TN_LOG_F64(k, v)  ((struct tn_log_field){.key = (k), .kind = TN_LOG_KIND_F64, .f64 = (v)})

/* Before the first line, from one thread. Without it: info, logfmt, stderr. The descriptor stays
 * the caller's. */
void tn_log_setup(enum tn_log_level level, enum tn_log_format format, int fd);
bool tn_log_enabled(enum tn_log_level level);
enum tn_log_level tn_log_level_get(void);
void tn_log_level_set(enum tn_log_level level);

/* Where in the program a line comes from; one static in each use of the macros below. */
struct tn_log_site {
    atomic_uint_fast64_t second; /* of the storm limit's window */
    atomic_uint lines;           /* in this window */
    atomic_uint dropped;         /* since the last line that went out */
};

/* Lines that were dropped since the start, by the storm limit or because stderr took no more. */
uint64_t tn_log_dropped(void);

/* "debug", "info", "warn", "error"; TN_INVALID otherwise. */
TN_MUST enum tn_err tn_log_level_parse(struct tn_str text, enum tn_log_level *ret_level);

void tn_log_write(struct tn_log_site *site, enum tn_log_level level, const char *message,
                  const struct tn_log_field *fields, size_t count);

/* Lines that must all go out, like an access log: not limited, and gathered, so that a busy turn of
 * a loop costs a write for some twenty lines. Zeroed: empty. Threads: one at a time per batch. */
struct tn_log_batch {
    size_t size;
    char text[4096];
};
void tn_log_batch_add(struct tn_log_batch *batch, enum tn_log_level level, const char *message,
                      const struct tn_log_field *fields, size_t count);
void tn_log_batch_flush(struct tn_log_batch *batch);

#define TN_LOG_AT(level, message, ...)                                                             \
    do {                                                                                           \
        if (tn_log_enabled(level)) {                                                               \
            static struct tn_log_site site_;                                                       \
            const struct tn_log_field fields_[] = {{0}, __VA_ARGS__};                              \
            tn_log_write(&site_, (level), (message), fields_ + 1,                                  \
                         sizeof(fields_) / sizeof(*fields_) - 1);                                  \
        }                                                                                          \
    } while (0)

#define tn_log_debug(...) TN_LOG_AT(TN_LOG_DEBUG, __VA_ARGS__, )
#define tn_log_info(...)  TN_LOG_AT(TN_LOG_INFO, __VA_ARGS__, )
#define tn_log_warn(...)  TN_LOG_AT(TN_LOG_WARN, __VA_ARGS__, )
#define tn_log_error(...) TN_LOG_AT(TN_LOG_ERROR, __VA_ARGS__, )

#endif
