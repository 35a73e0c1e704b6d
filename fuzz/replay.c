/* Runs a fuzz target over its corpus without libFuzzer, as a regression test under any compiler.
 *
 * Usage: replay_<target> [--seed N] PATH...     a file, or a folder of files
 * For each seed: the bytes as they are, each prefix of them, each bit of the first bytes flipped,
 * and random mutations. The inputs are copied to blocks of their exact size, so that a sanitizer
 * sees a read past the end. Machine: none. Memory: the C library's. Threads: one. Bounds: files up
 * to 1 MiB, 2 s in all, then the rest of the mutations is left out. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_BYTES_MAX = 1 << 20, PREFIXES_MAX = 2048, FLIPS_MAX = 2048, MUTATIONS = 256 };

static uint64_t random_state = 1;
static uint64_t runs;
static struct timespec deadline;

/* xorshift64*: the same numbers everywhere for the same seed. */
static uint64_t random_next(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 2685821657736338717u;
}

static bool time_left(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < deadline.tv_sec ||
           (now.tv_sec == deadline.tv_sec && now.tv_nsec < deadline.tv_nsec);
}

static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL)
        abort();
    if (size > 0)
        memcpy(copy, data, size);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static void mutate(uint8_t *data, size_t size)
{
    size_t changes = 1 + random_next() % 8;
    for (size_t i = 0; i < changes; i++) {
        size_t at = random_next() % size;
        switch (random_next() % 4) {
        case 0:
            data[at] ^= (uint8_t)(1u << random_next() % 8);
            break;
        case 1:
            data[at] = (uint8_t)random_next();
            break;
        case 2:
            data[at] = random_next() % 2 ? 0xff : 0;
            break;
        default:
            memmove(data + at, data + random_next() % (at + 1), (size - at) / 2);
            break;
        }
    }
}

static void run_around(const uint8_t *data, size_t size)
{
    run(data, size);
    uint8_t *work = malloc(size > 0 ? size : 1);
    if (work == NULL)
        abort();
    size_t prefixes = size < PREFIXES_MAX ? size : PREFIXES_MAX;
    for (size_t i = 0; i < prefixes && time_left(); i++)
        run(data, i);
    size_t flips = size * 8 < FLIPS_MAX ? size * 8 : FLIPS_MAX;
    for (size_t i = 0; i < flips && time_left(); i++) {
        memcpy(work, data, size);
        work[i / 8] ^= (uint8_t)(1u << i % 8);
        run(work, size);
    }
    for (size_t i = 0; i < MUTATIONS && size > 0 && time_left(); i++) {
        memcpy(work, data, size);
        mutate(work, size);
        run(work, size);
    }
    free(work);
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(FILE_BYTES_MAX);
    if (file == NULL || data == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        free(data);
        if (file != NULL)
            fclose(file);
        return 1;
    }
    size_t size = fread(data, 1, FILE_BYTES_MAX, file);
    fclose(file);
    run_around(data, size);
    free(data);
    return 0;
}

static int run_folder(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    int failed = 0;
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            failed |= run_file(name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += 2;
    for (int i = 1; i < argc; i++) {
        struct stat status;
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            random_state = strtoull(argv[++i], NULL, 10) | 1;
        } else if (stat(argv[i], &status) != 0) {
            printf("%s: none yet\n", argv[i]);
        } else {
            failed |= S_ISDIR(status.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
        }
    }
    /* Also without a corpus: nothing, and short random bytes. */
    run(NULL, 0);
    for (size_t i = 0; i < 20000 && time_left(); i++) {
        uint8_t data[64];
        for (size_t k = 0; k < sizeof(data); k++)
            data[k] = (uint8_t)random_next();
        run(data, 1 + random_next() % sizeof(data));
    }
    printf("%llu inputs\n", (unsigned long long)runs);
    return failed;
}
