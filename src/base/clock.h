/* The clocks. Shells read them and pass `now` into the pure cores, which never do.
 * Threads: any. */
#ifndef TN_BASE_CLOCK_H
#define TN_BASE_CLOCK_H

#include <stdint.h>

#define TN_NS_PER_US UINT64_C(1000)
#define TN_NS_PER_MS UINT64_C(1000000)
#define TN_NS_PER_S  UINT64_C(1000000000)

uint64_t tn_clock_mono_ns(void);    /* CLOCK_MONOTONIC: durations and deadlines */
uint64_t tn_clock_wall_ns(void);    /* CLOCK_REALTIME since 1970 UTC: stamps for people */
uint64_t tn_clock_thread_ns(void);  /* CPU time of the calling thread */
uint64_t tn_clock_process_ns(void); /* CPU time of the process */

#endif
