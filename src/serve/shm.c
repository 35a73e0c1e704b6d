/* Shared memory regions of clients: see shm.h for life and dangers.
 *
 * The signal handler may touch only what is async-signal-safe, so the address ranges of live
 * mappings stand in a fixed table of atomics beside the regions; the handler walks it and maps a
 * zero page over the faulting one.
 * Memory: one struct a region. Threads: any; one mutex. Bounds: TN_SHM_REGIONS_MAX. */
#include "serve/shm.h"

#include "base/mem.h"
#include "core/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct tn_shm_region {
    struct tn_shm_status status;
    atomic_uint refs;
    int fd;
    uint8_t *map; /* page-aligned */
    size_t map_size;
    size_t lead; /* bytes from the map's start to the region's start */
    size_t range;
};

struct tn_shm {
    pthread_mutex_t lock;
    struct tn_shm_region *regions[TN_SHM_REGIONS_MAX];
    size_t count;
};

/* --- The guard --- */
enum { RANGE_COUNT = 2 * TN_SHM_REGIONS_MAX };

static struct {
    atomic_uintptr_t start; /* 0: free; 1: being written */
    atomic_uintptr_t end;
} ranges[RANGE_COUNT];
static atomic_uint_fast64_t pages_replaced;
static struct sigaction older_action;
static pthread_once_t guard_once = PTHREAD_ONCE_INIT;
static int guard_errno;

static bool range_claim(const uint8_t *map, size_t size, size_t *ret_index)
{
    for (size_t i = 0; i < RANGE_COUNT; i++) {
        uintptr_t free_start = 0;
        if (atomic_compare_exchange_strong(&ranges[i].start, &free_start, 1)) {
            atomic_store(&ranges[i].end, (uintptr_t)map + size);
            atomic_store(&ranges[i].start, (uintptr_t)map);
            *ret_index = i;
            return true;
        }
    }
    return false;
}

static bool is_ours(uintptr_t address)
{
    for (size_t i = 0; i < RANGE_COUNT; i++) {
        uintptr_t start = atomic_load(&ranges[i].start);
        if (start > 1 && address >= start && address < atomic_load(&ranges[i].end)) {
            return true;
        }
    }
    return false;
}

static void on_bus_error(int signum, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t address = (uintptr_t)info->si_addr;
    long page = sysconf(_SC_PAGESIZE);
    if (is_ours(address)) {
        void *at = (void *)(address & ~((uintptr_t)page - 1));
        void *zeros = mmap(at, (size_t)page, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (zeros != MAP_FAILED) {
            atomic_fetch_add(&pages_replaced, 1);
            errno = saved;
            return;
        }
    }
    if ((older_action.sa_flags & SA_SIGINFO) != 0 && older_action.sa_sigaction != NULL) {
        older_action.sa_sigaction(signum, info, context);
        return;
    }
    /* Not ours: the access is repeated under the former action, by default the end. */
    sigaction(SIGBUS, &older_action, NULL);
}

static void guard_install(void)
{
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    guard_errno = sigaction(SIGBUS, &action, &older_action) != 0 ? errno : 0;
}

enum tn_err tn_shm_guard(struct tn_fault *fault)
{
    pthread_once(&guard_once, guard_install);
    if (guard_errno != 0) {
        return tn_fault_errno(fault, guard_errno, "cannot watch for SIGBUS");
    }
    return TN_OK;
}

uint64_t tn_shm_pages_replaced(void)
{
    return atomic_load(&pages_replaced);
}

/* --- Regions --- */
enum tn_err tn_shm_create(struct tn_shm **ret_shm)
{
    struct tn_shm *shm = tn_mem_take_zeroed(1, sizeof(*shm));
    if (shm == NULL) {
        return TN_NOMEM;
    }
    pthread_mutex_init(&shm->lock, NULL);
    *ret_shm = shm;
    return TN_OK;
}

void tn_shm_destroy(struct tn_shm *shm)
{
    if (shm == NULL) {
        return;
    }
    tn_shm_unregister_all(shm);
    pthread_mutex_destroy(&shm->lock);
    tn_mem_give(shm);
}

void tn_shm_release(struct tn_shm_region *region)
{
    if (region == NULL || atomic_fetch_sub(&region->refs, 1) != 1) {
        return;
    }
    if (region->map != NULL) {
        /* First out of the table, then unmapped: another mapping may get the address at once. */
        atomic_store(&ranges[region->range].start, 0);
        munmap(region->map, region->map_size);
    }
    if (region->fd >= 0) {
        close(region->fd);
    }
    tn_mem_give(region);
}

static size_t find(const struct tn_shm *shm, struct tn_str name)
{
    for (size_t i = 0; i < shm->count; i++) {
        if (tn_str_is(name, shm->regions[i]->status.name)) {
            return i;
        }
    }
    return SIZE_MAX;
}

static bool has_zero(struct tn_str text)
{
    return text.size > 0 && memchr(text.data, '\0', text.size) != NULL;
}

static enum tn_err check_names(const struct tn_shm_register_options *options,
                               struct tn_fault *fault)
{
    struct tn_str name = options->name;
    struct tn_str key = options->key;
    if (name.size == 0 || name.size > TN_SHM_NAME_MAX || has_zero(name)) {
        return tn_fault_set(fault, TN_INVALID,
                            "a shared memory region needs a name of 1 to %d bytes",
                            TN_SHM_NAME_MAX);
    }
    struct tn_str rest = key.size > 0 && key.data[0] == '/' ? tn_str_from_offset(key, 1) : key;
    if (rest.size == 0 || rest.size > TN_SHM_NAME_MAX || has_zero(rest) ||
        memchr(rest.data, '/', rest.size) != NULL || tn_str_is(rest, ".") ||
        tn_str_is(rest, "..")) {
        return tn_fault_set(fault, TN_INVALID,
                            "shared memory region '%.*s' has a wrong key '%.*s': it is a name as "
                            "for shm_open, with no further slash",
                            TN_STR_ARG(name), TN_STR_ARG(key));
    }
    if (options->size == 0 || options->offset > INT64_MAX ||
        options->size > INT64_MAX - options->offset) {
        return tn_fault_set(fault, TN_INVALID,
                            "shared memory region '%.*s' has a wrong offset %llu or size %llu",
                            TN_STR_ARG(name), (unsigned long long)options->offset,
                            (unsigned long long)options->size);
    }
    return TN_OK;
}

static enum tn_err check_size(const struct tn_shm_region *region, struct tn_fault *fault)
{
    struct stat info;
    if (fstat(region->fd, &info) != 0) {
        return tn_fault_errno(fault, errno, "shared memory region '%s'", region->status.name);
    }
    uint64_t end = region->status.offset + region->status.size;
    if (info.st_size < 0 || (uint64_t)info.st_size < end) {
        return tn_fault_set(fault, TN_INVALID,
                            "shared memory region '%s' needs %llu bytes of '%s', which has %lld",
                            region->status.name, (unsigned long long)end, region->status.key,
                            (long long)info.st_size);
    }
    return TN_OK;
}

static enum tn_err map_region(struct tn_shm_region *region, struct tn_fault *fault)
{
    /* Without O_CREAT nothing is made; non-regular objects are refused by the size check. */
    region->fd = shm_open(region->status.key, O_RDWR | O_CLOEXEC, 0);
    if (region->fd < 0) {
        return tn_fault_errno(fault, errno, "shared memory object '%s' of region '%s'",
                              region->status.key, region->status.name);
    }
    enum tn_err err = check_size(region, fault);
    if (err != TN_OK) {
        return err;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    region->lead = (size_t)(region->status.offset % page);
    region->map_size = region->lead + (size_t)region->status.size;
    void *map = mmap(NULL, region->map_size, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd,
                     (off_t)(region->status.offset - region->lead));
    if (map == MAP_FAILED) {
        return tn_fault_errno(fault, errno, "cannot map shared memory region '%s'",
                              region->status.name);
    }
    size_t rounded = (region->map_size + page - 1) / page * page;
    if (!range_claim(map, rounded, &region->range)) {
        munmap(map, region->map_size);
        return tn_fault_set(fault, TN_LIMIT, "too many shared memory regions are in use");
    }
    region->map = map;
    return TN_OK;
}

static enum tn_err insert(struct tn_shm *shm, struct tn_shm_region *region, struct tn_fault *fault)
{
    if (find(shm, tn_str_from(region->status.name)) != SIZE_MAX) {
        return tn_fault_set(fault, TN_EXISTS,
                            "shared memory region '%s' is registered already: unregister it first",
                            region->status.name);
    }
    if (shm->count == TN_SHM_REGIONS_MAX) {
        return tn_fault_set(fault, TN_LIMIT, "%d shared memory regions are registered already",
                            TN_SHM_REGIONS_MAX);
    }
    shm->regions[shm->count++] = region;
    return TN_OK;
}

enum tn_err tn_shm_register(struct tn_shm *shm, const struct tn_shm_register_options *options,
                            struct tn_fault *fault)
{
    enum tn_err err = check_names(options, fault);
    if (err != TN_OK) {
        return err;
    }
    struct tn_shm_region *region = tn_mem_take_zeroed(1, sizeof(*region));
    if (region == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "no memory for a shared memory region");
    }
    region->fd = -1;
    atomic_init(&region->refs, 1);
    memcpy(region->status.name, options->name.data, options->name.size);
    bool slash = options->key.data[0] == '/';
    region->status.key[0] = '/';
    memcpy(region->status.key + (slash ? 0 : 1), options->key.data, options->key.size);
    region->status.offset = options->offset;
    region->status.size = options->size;
    err = map_region(region, fault);
    if (err == TN_OK) {
        pthread_mutex_lock(&shm->lock);
        err = insert(shm, region, fault);
        pthread_mutex_unlock(&shm->lock);
    }
    if (err != TN_OK) {
        tn_shm_release(region);
    }
    return err;
}

enum tn_err tn_shm_unregister(struct tn_shm *shm, struct tn_str name, struct tn_fault *fault)
{
    struct tn_shm_region *region = NULL;
    pthread_mutex_lock(&shm->lock);
    size_t index = find(shm, name);
    if (index != SIZE_MAX) {
        region = shm->regions[index];
        shm->count--;
        memmove(&shm->regions[index], &shm->regions[index + 1],
                (shm->count - index) * sizeof(struct tn_shm_region *));
    }
    pthread_mutex_unlock(&shm->lock);
    if (region == NULL) {
        return tn_fault_set(fault, TN_NOTFOUND, "no shared memory region '%.*s' is registered",
                            TN_STR_ARG(name));
    }
    tn_shm_release(region);
    return TN_OK;
}

void tn_shm_unregister_all(struct tn_shm *shm)
{
    pthread_mutex_lock(&shm->lock);
    while (shm->count > 0) {
        tn_shm_release(shm->regions[--shm->count]);
    }
    pthread_mutex_unlock(&shm->lock);
}

size_t tn_shm_list(struct tn_shm *shm, struct tn_str name, struct tn_shm_status *ret_status,
                   size_t count)
{
    size_t found = 0;
    pthread_mutex_lock(&shm->lock);
    for (size_t i = 0; i < shm->count; i++) {
        const struct tn_shm_status *status = &shm->regions[i]->status;
        if (name.size > 0 && !tn_str_is(name, status->name)) {
            continue;
        }
        if (found < count) {
            ret_status[found] = *status;
        }
        found++;
    }
    pthread_mutex_unlock(&shm->lock);
    return found;
}

enum tn_err tn_shm_use(struct tn_shm *shm, struct tn_str name, uint64_t offset, uint64_t size,
                       uint8_t **ret_data, struct tn_shm_region **ret_region,
                       struct tn_fault *fault)
{
    struct tn_shm_region *region = NULL;
    pthread_mutex_lock(&shm->lock);
    size_t index = find(shm, name);
    if (index != SIZE_MAX) {
        region = shm->regions[index];
        atomic_fetch_add(&region->refs, 1);
    }
    pthread_mutex_unlock(&shm->lock);
    if (region == NULL) {
        return tn_fault_set(fault, TN_NOTFOUND, "no shared memory region '%.*s' is registered",
                            TN_STR_ARG(name));
    }
    enum tn_err err = TN_OK;
    if (offset > region->status.size || size > region->status.size - offset) {
        err = tn_fault_set(fault, TN_INVALID,
                           "%llu bytes at offset %llu lie beyond shared memory region '%s' of "
                           "%llu bytes",
                           (unsigned long long)size, (unsigned long long)offset,
                           region->status.name, (unsigned long long)region->status.size);
    } else {
        err = check_size(region, fault);
    }
    if (err != TN_OK) {
        tn_shm_release(region);
        return err;
    }
    *ret_data = region->map + region->lead + offset;
    *ret_region = region;
    return TN_OK;
}
