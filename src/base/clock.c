/* Reading the clocks; see clock.h. The monotonic and wall clocks are answered by the vDSO without
 * a system call (about 25 ns); the CPU clocks cost a system call. Threads: any. */
#include "base/clock.h"

#include "core/assert.h"

#include <time.h>

static uint64_t read_ns(clockid_t clock)
{
    struct timespec now;
    int failed = clock_gettime(clock, &now);
    TN_ASSERT(failed == 0);
    return (uint64_t)now.tv_sec * TN_NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t tn_clock_mono_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t tn_clock_wall_ns(void)
{
    return read_ns(CLOCK_REALTIME);
}

uint64_t tn_clock_thread_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

uint64_t tn_clock_process_ns(void)
{
    return read_ns(CLOCK_PROCESS_CPUTIME_ID);
}
