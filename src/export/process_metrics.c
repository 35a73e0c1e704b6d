/* The reader of /proc/self. A file that cannot be read leaves its gauge as it was: a container may
 * hide /proc, and a scrape must not fail for it.
 *
 * Memory: one struct. Threads: collections come one at a time. Bounds: files are read up to 1 KB.
 */
#include "export/process_metrics.h"

#include "base/clock.h"
#include "base/mem.h"
#include "core/assert.h"
#include "telemetry/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum value { CPU, RESIDENT, VIRTUAL, OPEN_FDS, MAX_FDS, START, BUILD, VALUE_COUNT };

struct tn_process_metrics {
    struct tn_metrics *metrics;
    struct tn_metric *values[VALUE_COUNT];
    double cpu_seconds; /* counted so far */
};

static const struct tn_metric_options families[VALUE_COUNT] = {
    [CPU] = {.kind = TN_METRIC_COUNTER,
             .name = "process_cpu_seconds_total",
             .help = "Total user and system CPU time spent in seconds."},
    [RESIDENT] = {.kind = TN_METRIC_GAUGE,
                  .name = "process_resident_memory_bytes",
                  .help = "Resident memory size in bytes."},
    [VIRTUAL] = {.kind = TN_METRIC_GAUGE,
                 .name = "process_virtual_memory_bytes",
                 .help = "Virtual memory size in bytes."},
    [OPEN_FDS] = {.kind = TN_METRIC_GAUGE,
                  .name = "process_open_fds",
                  .help = "Number of open file descriptors."},
    [MAX_FDS] = {.kind = TN_METRIC_GAUGE,
                 .name = "process_max_fds",
                 .help = "Maximum number of open file descriptors."},
    [START] = {.kind = TN_METRIC_GAUGE,
               .name = "process_start_time_seconds",
               .help = "Start time of the process since unix epoch in seconds."},
    [BUILD] = {.kind = TN_METRIC_GAUGE,
               .name = "tenon_build_info",
               .help = "Always 1; the labels say which build this is.",
               .labels = {"version", "compiler"}},
};

/* Reads the start of a small file, terminated. */
static bool file_read(const char *path, char *ret_text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    ssize_t size = read(fd, ret_text, room - 1);
    close(fd);
    if (size <= 0) {
        return false;
    }
    ret_text[size] = '\0';
    return true;
}

static bool memory_read(double *ret_virtual, double *ret_resident)
{
    char text[256];
    unsigned long long pages_virtual, pages_resident;
    if (!file_read("/proc/self/statm", text, sizeof(text)) ||
        sscanf(text, "%llu %llu", &pages_virtual, &pages_resident) != 2) {
        return false;
    }
    double page = (double)sysconf(_SC_PAGESIZE);
    *ret_virtual = (double)pages_virtual * page;
    *ret_resident = (double)pages_resident * page;
    return true;
}

static bool fds_count(double *ret_count)
{
    /* From Linux 6.2 on, the folder's size is the number. */
    struct stat folder;
    if (stat("/proc/self/fd", &folder) == 0 && folder.st_size > 0) {
        *ret_count = (double)folder.st_size;
        return true;
    }
    DIR *entries = opendir("/proc/self/fd");
    if (entries == NULL) {
        return false;
    }
    size_t count = 0;
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        count += entry->d_name[0] != '.';
    }
    closedir(entries);
    *ret_count = (double)count - 1; /* the one that reads this folder */
    return true;
}

/* Field 22 of stat counts clock ticks since the machine started. The name in field 2 may hold
 * blanks and brackets, so fields are counted from its last bracket. */
static bool start_read(double *ret_seconds)
{
    char text[1024];
    unsigned long long ticks;
    if (!file_read("/proc/self/stat", text, sizeof(text))) {
        return false;
    }
    const char *at = strrchr(text, ')');
    if (at == NULL ||
        sscanf(at + 1,
               " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
               &ticks) != 1) {
        return false;
    }
    /* CLOCK_BOOTTIME and not btime of /proc/stat, which is a whole second. */
    struct timespec boot;
    if (clock_gettime(CLOCK_BOOTTIME, &boot) != 0) {
        return false;
    }
    double up = (double)boot.tv_sec + (double)boot.tv_nsec / 1e9;
    double age = up - (double)ticks / (double)sysconf(_SC_CLK_TCK);
    *ret_seconds = (double)tn_clock_wall_ns() / 1e9 - age;
    return true;
}

static void collect(void *context)
{
    struct tn_process_metrics *process = context;
    double seconds = (double)tn_clock_process_ns() / 1e9;
    if (seconds > process->cpu_seconds) {
        tn_metric_add(process->values[CPU], seconds - process->cpu_seconds);
        process->cpu_seconds = seconds;
    }
    double size, resident, count;
    if (memory_read(&size, &resident)) {
        tn_metric_set(process->values[VIRTUAL], size);
        tn_metric_set(process->values[RESIDENT], resident);
    }
    if (fds_count(&count)) {
        tn_metric_set(process->values[OPEN_FDS], count);
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        tn_metric_set(process->values[MAX_FDS],
                      limit.rlim_cur == RLIM_INFINITY ? __builtin_inf() : (double)limit.rlim_cur);
    }
}

static enum tn_err series_make(struct tn_process_metrics *process, const char *version)
{
    const struct tn_str build[] = {
        tn_str_from(version),
#ifdef __clang__
        TN_STR("clang " __clang_version__),
#else
        TN_STR("gcc " __VERSION__),
#endif
    };
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        struct tn_metric_family *family;
        enum tn_err err = tn_metrics_family(process->metrics, &families[i], &family);
        err = err != TN_OK ? err : tn_metric_series(family, build, &process->values[i]);
        if (err != TN_OK) {
            return err;
        }
    }
    return TN_OK;
}

enum tn_err tn_process_metrics_create(struct tn_metrics *metrics, const char *version,
                                      struct tn_process_metrics **ret_process)
{
    struct tn_process_metrics *process = tn_mem_take_zeroed(1, sizeof(*process));
    if (process == NULL) {
        return TN_NOMEM;
    }
    process->metrics = metrics;
    enum tn_err err = series_make(process, version);
    err = err != TN_OK ? err : tn_metrics_on_collect(metrics, collect, process);
    if (err != TN_OK) {
        tn_process_metrics_destroy(process);
        return err;
    }
    double start;
    if (start_read(&start)) {
        tn_metric_set(process->values[START], start);
    }
    tn_metric_set(process->values[BUILD], 1);
    *ret_process = process;
    return TN_OK;
}

void tn_process_metrics_destroy(struct tn_process_metrics *process)
{
    if (process == NULL) {
        return;
    }
    tn_metrics_off_collect(process->metrics, collect, process);
    for (size_t i = 0; i < VALUE_COUNT; i++) {
        tn_metric_retire(process->values[i]);
    }
    tn_mem_give(process);
}
