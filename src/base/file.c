/* Whole files; see file.h. Memory: blocks or the caller's arena. Threads: any; all of it blocks.
 * Bounds: the caller's limits; a path longer than PATH_MAX is the system's refusal. */
#include "base/file.h"

#include "core/assert.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static enum tn_err open_plain(const char *path, int *ret_fd, struct stat *ret_status,
                              struct tn_fault *fault)
{
    /* Non-blocking, so that a named pipe without a writer is refused below instead of waited for.
     */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return tn_fault_errno(fault, errno, "open '%s'", path);
    }
    struct stat status;
    if (fstat(fd, &status) != 0) {
        enum tn_err err = tn_fault_errno(fault, errno, "look at '%s'", path);
        close(fd);
        return err;
    }
    if (!S_ISREG(status.st_mode)) {
        close(fd);
        return tn_fault_set(fault, TN_INVALID, "'%s' is not a plain file", path);
    }
    *ret_fd = fd;
    *ret_status = status;
    return TN_OK;
}

/* Reads until the end or until `room` bytes are there. */
static enum tn_err read_some(int fd, uint8_t *data, size_t room, size_t *ret_size)
{
    size_t size = 0;
    while (size < room) {
        ssize_t got = read(fd, data + size, room - size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return TN_IO;
        }
        if (got == 0) {
            break;
        }
        size += (size_t)got;
    }
    *ret_size = size;
    return TN_OK;
}

static enum tn_err too_large(const char *path, size_t size_max, struct tn_fault *fault)
{
    return tn_fault_set(fault, TN_LIMIT, "'%s' is larger than %zu bytes", path, size_max);
}

/* The block has one byte more than the file should have: so its end is seen in the same read, and a
 * file that grew is told apart. /proc files say size 0 and are read in steps. */
static enum tn_err read_block(int fd, const char *path, size_t expected, size_t size_max,
                              struct tn_block **ret_block, struct tn_fault *fault)
{
    size_t room = expected < 4096 ? 4096 : expected + 1;
    for (;;) {
        struct tn_block *block = NULL;
        size_t size = 0;
        if (tn_block_create(room, &block) < 0) {
            return tn_fault_set(fault, TN_NOMEM, "'%s': no memory for %zu bytes", path, room);
        }
        if (lseek(fd, 0, SEEK_SET) < 0 || read_some(fd, block->data, room, &size) < 0) {
            tn_block_unref(block);
            return tn_fault_errno(fault, errno, "read '%s'", path);
        }
        if (size <= size_max && size < room) {
            block->size = size;
            *ret_block = block;
            return TN_OK;
        }
        tn_block_unref(block);
        if (size > size_max) {
            return too_large(path, size_max, fault);
        }
        room = room > size_max / 2 ? size_max + 1 : room * 2;
    }
}

enum tn_err tn_file_read(const char *path, size_t size_max, struct tn_block **ret_block,
                         struct tn_fault *fault)
{
    TN_ASSERT(size_max < SIZE_MAX / 2);

    int fd = -1;
    struct stat status = {0};
    enum tn_err err = open_plain(path, &fd, &status, fault);
    if (err < 0) {
        return err;
    }
    if ((uint64_t)status.st_size > size_max) {
        err = too_large(path, size_max, fault);
    } else {
        err = read_block(fd, path, (size_t)status.st_size, size_max, ret_block, fault);
    }
    close(fd);
    return err;
}

enum tn_err tn_file_read_text(const char *path, size_t size_max, struct tn_arena *arena,
                              struct tn_str *ret_text, struct tn_fault *fault)
{
    struct tn_block *block = NULL;
    enum tn_err err = tn_file_read(path, size_max, &block, fault);
    if (err < 0) {
        return err;
    }
    TN_ASSERT(block != NULL);
    struct tn_str text = tn_str_make((const char *)block->data, block->size);
    const char *copy = tn_arena_copy_str(arena, text);
    tn_block_unref(block);
    if (copy == NULL) {
        return tn_fault_set(fault, TN_NOMEM, "'%s': no memory", path);
    }
    *ret_text = tn_str_make(copy, text.size);
    return TN_OK;
}

enum tn_err tn_file_map(const char *path, struct tn_file_view *ret_view, struct tn_fault *fault)
{
    int fd = -1;
    struct stat status = {0};
    enum tn_err err = open_plain(path, &fd, &status, fault);
    if (err < 0) {
        return err;
    }
    struct tn_file_view view = {0};
    if (status.st_size > 0) {
        void *pages = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (pages == MAP_FAILED) {
            err = tn_fault_errno(fault, errno, "map '%s'", path);
        } else {
            view.bytes = tn_bytes_make(pages, (size_t)status.st_size);
        }
    }
    close(fd);
    if (err == TN_OK) {
        *ret_view = view;
    }
    return err;
}

void tn_file_unmap(struct tn_file_view *view)
{
    if (view != NULL && view->bytes.size > 0) {
        munmap((void *)(uintptr_t)view->bytes.data, view->bytes.size);
        view->bytes = tn_bytes_make(NULL, 0);
    }
}

/* ---- writing ---- */

/* "dir/name" -> "dir", "name" -> ".", "/name" -> "/". */
static bool parent_of(const char *path, char *out, size_t room)
{
    const char *slash = strrchr(path, '/');
    struct tn_str parent = slash == NULL   ? TN_STR_OF(".")
                           : slash == path ? TN_STR_OF("/")
                                           : tn_str_make(path, (size_t)(slash - path));
    if (parent.size >= room) {
        return false;
    }
    memcpy(out, parent.data, parent.size);
    out[parent.size] = '\0';
    return true;
}

enum tn_err tn_file_sync_dir(const char *path, struct tn_fault *fault)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return tn_fault_errno(fault, errno, "open directory '%s'", path);
    }
    enum tn_err err = TN_OK;
    if (fsync(fd) != 0) {
        err = tn_fault_errno(fault, errno, "sync directory '%s'", path);
    }
    close(fd);
    return err;
}

static int write_all(int fd, struct tn_bytes bytes)
{
    for (size_t at = 0; at < bytes.size;) {
        ssize_t put = write(fd, bytes.data + at, bytes.size - at);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return -1;
        }
        at += (size_t)put;
    }
    return 0;
}

static mode_t read_umask(void)
{
    /* The only way to read it without changing it for other threads. */
    FILE *file = fopen("/proc/self/status", "re");
    unsigned mask = 022;
    char line[256];
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "Umask: %o", &mask) == 1) {
            break;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return (mode_t)mask;
}

enum tn_err tn_file_write_atomic(const char *path, struct tn_bytes bytes, unsigned mode,
                                 struct tn_fault *fault)
{
    char parent[PATH_MAX];
    char temporary[PATH_MAX];
    int size = snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
    if (size < 0 || (size_t)size >= sizeof(temporary) || !parent_of(path, parent, sizeof(parent))) {
        return tn_fault_errno(fault, ENAMETOOLONG, "write '%.60s...'", path);
    }
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        return tn_fault_errno(fault, errno, "create '%s'", temporary);
    }
    int failed = fchmod(fd, (mode_t)mode & ~read_umask());
    failed = failed != 0 ? failed : write_all(fd, bytes);
    failed = failed != 0 ? failed : fsync(fd);
    int reason = errno;
    close(fd);
    if (failed == 0 && rename(temporary, path) != 0) {
        failed = -1;
        reason = errno;
    }
    if (failed != 0) {
        unlink(temporary);
        return tn_fault_errno(fault, reason, "write '%s'", path);
    }
    return tn_file_sync_dir(parent, fault);
}

/* ---- looking ---- */

static void fill_info(struct tn_file_info *info, const struct stat *status)
{
    info->kind = S_ISREG(status->st_mode)   ? TN_FILE_PLAIN
                 : S_ISDIR(status->st_mode) ? TN_FILE_DIRECTORY
                                            : TN_FILE_OTHER;
    info->size = (uint64_t)status->st_size;
    info->changed_ns =
        (uint64_t)status->st_mtim.tv_sec * 1000000000u + (uint64_t)status->st_mtim.tv_nsec;
    info->inode = (uint64_t)status->st_ino;
}

enum tn_err tn_file_look(const char *path, struct tn_file_info *ret_info, struct tn_fault *fault)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        return tn_fault_errno(fault, errno, "look at '%s'", path);
    }
    *ret_info = (struct tn_file_info){0};
    fill_info(ret_info, &status);
    return TN_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tn_file_info *)a)->name, ((const struct tn_file_info *)b)->name);
}

/* Room for one more item; doubles in the arena. */
static bool widen(struct tn_file_list *list, size_t *room, struct tn_arena *arena)
{
    if (list->count < *room) {
        return true;
    }
    size_t wider = *room == 0 ? 16 : *room * 2;
    struct tn_file_info *items = TN_ARENA_ARRAY(arena, struct tn_file_info, wider);
    if (items == NULL) {
        return false;
    }
    if (list->count > 0) {
        memcpy(items, list->items, list->count * sizeof(*items));
    }
    list->items = items;
    *room = wider;
    return true;
}

static enum tn_err list_entries(DIR *dir, const char *path, size_t count_max,
                                struct tn_arena *arena, struct tn_file_list *list,
                                struct tn_fault *fault)
{
    size_t room = 0;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            return errno == 0 ? TN_OK : tn_fault_errno(fault, errno, "list '%s'", path);
        }
        struct stat status;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(dirfd(dir), entry->d_name, &status, 0) != 0) {
            continue;
        }
        if (list->count == count_max) {
            return tn_fault_set(fault, TN_LIMIT, "more than %zu names in '%s'", count_max, path);
        }
        const char *name = tn_arena_copy_str(arena, tn_str_from(entry->d_name));
        if (name == NULL || !widen(list, &room, arena)) {
            return tn_fault_set(fault, TN_NOMEM, "list '%s': no memory", path);
        }
        struct tn_file_info *info = &list->items[list->count++];
        info->name = name;
        fill_info(info, &status);
    }
}

enum tn_err tn_file_list(const char *path, size_t count_max, struct tn_arena *arena,
                         struct tn_file_list *ret_list, struct tn_fault *fault)
{
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return tn_fault_errno(fault, errno, "list '%s'", path);
    }
    struct tn_file_list list = {0};
    enum tn_err err = list_entries(dir, path, count_max, arena, &list, fault);
    closedir(dir);
    if (err < 0) {
        return err;
    }
    if (list.count > 1) {
        qsort(list.items, list.count, sizeof(*list.items), by_name);
    }
    *ret_list = list;
    return TN_OK;
}
