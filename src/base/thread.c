/* Named threads; see thread.h. The new thread inherits a mask that blocks every signal, set around
 * its creation, so there is no moment in which it could be interrupted.
 * Memory: the caller's. Threads: one owner a struct. */
#include "base/thread.h"

#include "core/assert.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* A fault of the thread itself must still reach it (and a profiler's tick is harmless). */
static const int own_signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGPROF};

static void *thread_main(void *argument)
{
    struct tn_thread *thread = argument;
    if (thread->name[0] != '\0') {
        pthread_setname_np(pthread_self(), thread->name);
    }
    thread->run(thread->context);
    return NULL;
}

static int set_attributes(pthread_attr_t *attr, const struct tn_thread_options *options)
{
    int failed = 0;
    if (options->stack_size > 0) {
        failed = pthread_attr_setstacksize(attr, options->stack_size);
    }
    if (failed == 0 && options->pinned) {
        if (options->cpu >= CPU_SETSIZE) {
            return EINVAL;
        }
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(options->cpu, &set);
        failed = pthread_attr_setaffinity_np(attr, sizeof(set), &set);
    }
    return failed;
}

static int create_masked(struct tn_thread *thread, const pthread_attr_t *attr)
{
    sigset_t blocked;
    sigset_t before;
    sigfillset(&blocked);
    for (size_t i = 0; i < TN_COUNT(own_signals); i++) {
        sigdelset(&blocked, own_signals[i]);
    }
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int failed = pthread_create(&thread->id, attr, thread_main, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed;
}

enum tn_err tn_thread_start(struct tn_thread *thread, const struct tn_thread_options *options,
                            void (*run)(void *context), void *context, struct tn_fault *fault)
{
    static const struct tn_thread_options plain;
    options = options != NULL ? options : &plain;
    *thread = (struct tn_thread){.run = run, .context = context};
    if (options->name != NULL) {
        snprintf(thread->name, sizeof(thread->name), "%s", options->name);
    }
    pthread_attr_t attr;
    int failed = pthread_attr_init(&attr);
    if (failed == 0) {
        failed = set_attributes(&attr, options);
        if (failed == 0) {
            failed = create_masked(thread, &attr);
        }
        pthread_attr_destroy(&attr);
    }
    if (failed == EINVAL) {
        return tn_fault_set(fault, TN_INVALID, "thread '%s': stack of %zu bytes or CPU %u refused",
                            thread->name, options->stack_size, options->cpu);
    }
    if (failed != 0) {
        return tn_fault_errno(fault, failed, "start thread '%s'", thread->name);
    }
    thread->started = true;
    return TN_OK;
}

void tn_thread_join(struct tn_thread *thread)
{
    if (thread != NULL && thread->started) {
        int failed = pthread_join(thread->id, NULL);
        TN_ASSERT(failed == 0);
        thread->started = false;
    }
}

/* CPUs' worth of time a container may use, rounded up; 0 when there is no quota. */
static unsigned quota_cpus(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    if (file == NULL) {
        return 0;
    }
    char line[64] = "";
    bool got = fgets(line, sizeof(line), file) != NULL;
    fclose(file);
    char *rest = line;
    unsigned long quota = strtoul(line, &rest, 10); /* "max 100000" when unlimited: no digits */
    unsigned long period = got ? strtoul(rest, NULL, 10) : 0;
    return rest != line && period > 0 ? (unsigned)((quota + period - 1) / period) : 0;
}

unsigned tn_thread_cpu_count(void)
{
    cpu_set_t set;
    unsigned count = 1;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) {
        count = (unsigned)CPU_COUNT(&set);
    }
    unsigned quota = quota_cpus();
    return quota > 0 && quota < count ? quota : count;
}
