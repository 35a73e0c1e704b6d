/* `tenon serve` as a whole: models from the repository, answers on three ports, until a signal.
 *
 *   START: listen, load --> READY (every wanted model in, or failed) --SIGTERM, SIGINT--> DRAIN:
 *   ready is false, no new connections, what is under way finishes --> stop --> exit
 *   SIGHUP: certificates and repository are read again
 *
 * Threads: the calling one is the first I/O loop; more by io_threads, one for the repository, and
 * those of the models. Bounds: the limits below. */
#ifndef TN_SERVE_SERVER_H
#define TN_SERVE_SERVER_H

#include "base/log.h"
#include "base/option.h"
#include "serve/repository.h"

struct tn_serve_options {
    struct tn_option_list files;  /* positional FILE.onnx */
    struct tn_option_list models; /* directories */
    struct tn_option_list load;   /* explicit mode */
    enum tn_repository_mode mode;
    uint64_t poll_ns;
    uint64_t settle_ns;
    bool strict_readiness;
    const char *address;
    uint16_t http_port;
    uint16_t grpc_port;
    uint16_t metrics_port;
    bool http; /* --no-http and so on */
    bool grpc;
    bool metrics;
    unsigned io_threads; /* 0: by the CPUs */
    const char *tls_cert;
    const char *tls_key;
    const char *tls_ca;
    uint64_t drain_ns;
    uint64_t body_bytes_max;
    uint64_t buffered_bytes_max;
    unsigned connections_max;
    unsigned streams_max;
    uint64_t idle_ns;
    unsigned models_max;
    const char *onnxruntime; /* path of the library */
    const char *trace_file;
    unsigned trace_rate;
    const char *otlp_url;
    double otlp_sample;
    uint64_t otlp_interval_ns;
    const char *remote_write_url;
    uint64_t remote_write_interval_ns;
    enum tn_log_level log_level;
    enum tn_log_format log_format;
    bool access_log;
    bool check;
};

extern const struct tn_option_table tn_serve_option_table;

/* Runs until a signal ends it. Returns an exit code of sysexits.h; faults are logged. `version` is
 * static. */
int tn_serve_run(const struct tn_serve_options *options, const char *version);

#endif
