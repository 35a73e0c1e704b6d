/* Adds up a load test and prints it; see load_report.h. */
#include "cmd/load_report.h"

#include "core/assert.h"

static const double quantiles[] = {0.5, 0.9, 0.99, 0.999};
static const char *const quantile_names[] = {"p50", "p90", "p99", "p99.9"};

enum tn_err tn_load_report_init(struct tn_load_report *report, bool open_loop)
{
    *report = (struct tn_load_report){.open_loop = open_loop};
    tn_hist_init(&report->latency);
    return TN_OK;
}

void tn_load_report_deinit(struct tn_load_report *report)
{
    *report = (struct tn_load_report){0};
}

void tn_load_report_add(struct tn_load_report *report, const struct tn_load_sample *sample)
{
    size_t status = (size_t)sample->status;
    TN_ASSERT(status < TN_LOAD_STATUS_COUNT);
    report->ended++;
    report->bytes += sample->bytes;
    report->by_status[status]++;
    report->wrong += sample->wrong;
    tn_hist_record(&report->latency, sample->latency_ns);
    if (sample->status != TN_GRPC_OK && report->error[0] == '\0') {
        snprintf(report->error, sizeof(report->error), "%.*s", TN_STR_ARG(sample->text));
    }
}

static double seconds(const struct tn_load_report *report)
{
    return report->measured_ns > 0 ? (double)report->measured_ns / 1e9 : 1.0;
}

static bool failed(const struct tn_load_report *report)
{
    return report->ended == 0 || report->by_status[TN_GRPC_OK] != report->ended ||
           report->wrong > 0;
}

static double quantile_ms(const struct tn_load_report *report, double quantile)
{
    return (double)tn_hist_quantile(&report->latency, quantile) / 1e6;
}

bool tn_load_report_table(const struct tn_load_report *report, FILE *out)
{
    fprintf(out, "answers     %llu in %.1f s, %.0f a second, %.2f MB a second\n",
            (unsigned long long)report->ended, seconds(report),
            (double)report->ended / seconds(report), (double)report->bytes / 1e6 / seconds(report));
    fprintf(out, "latency    ");
    for (size_t i = 0; i < TN_COUNT(quantiles); i++) {
        fprintf(out, " %s %.3f ms ", quantile_names[i], quantile_ms(report, quantiles[i]));
    }
    fprintf(out, " max %.3f ms\n", (double)report->latency.max / 1e6);
    fprintf(out, "            %s\n",
            report->open_loop ? "from the instant each request was due (open loop)"
                              : "of requests sent after answers came (closed loop)");
    for (size_t i = 1; i < TN_LOAD_STATUS_COUNT; i++) {
        if (report->by_status[i] > 0) {
            fprintf(out, "failed      %llu with gRPC status %zu: %s\n",
                    (unsigned long long)report->by_status[i], i, report->error);
        }
    }
    if (report->wrong > 0) {
        fprintf(out,
                "wrong       %llu answers unlike the first (--no-verify for models that "
                "answer by chance)\n",
                (unsigned long long)report->wrong);
    }
    if (report->given_up > 0) {
        fprintf(out, "given up    %llu requests were due when no more could be under way\n",
                (unsigned long long)report->given_up);
    }
    return failed(report);
}

bool tn_load_report_json(const struct tn_load_report *report, FILE *out)
{
    fprintf(out,
            "{\"answers\":%llu,\"seconds\":%.3f,\"per_second\":%.1f,\"bytes\":%llu,"
            "\"open_loop\":%s,\"failed\":%llu,\"wrong\":%llu,\"given_up\":%llu,\"latency_ms\":{",
            (unsigned long long)report->ended, seconds(report),
            (double)report->ended / seconds(report), (unsigned long long)report->bytes,
            report->open_loop ? "true" : "false",
            (unsigned long long)(report->ended - report->by_status[TN_GRPC_OK]),
            (unsigned long long)report->wrong, (unsigned long long)report->given_up);
    for (size_t i = 0; i < TN_COUNT(quantiles); i++) {
        fprintf(out, "\"%s\":%.4f,", quantile_names[i], quantile_ms(report, quantiles[i]));
    }
    fprintf(out, "\"max\":%.4f}}\n", (double)report->latency.max / 1e6);
    return failed(report);
}
