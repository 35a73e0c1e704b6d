/* What a buffer for a message costs: taken, written once, given back, 32 at a time as a busy loop
 * holds them. CPU time of the thread per buffer, best of several rounds. The peer is malloc and
 * free.
 *
 * Usage: bench_base_mem [results.jsonl]
 * Memory: up to 20 MB. Threads: one. Bounds: about three seconds. */
#include "base/block.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "base/table.h"
#include "core/assert.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 5, HELD = 32, NAMES = 1000 };

static FILE *results;

static void record(const char *figure, size_t size, double value, double peer)
{
    char peer_text[96] = "";
    printf("base.mem  %-22s %8zu bytes %10.1f ns", figure, size, value);
    if (peer > 0) {
        printf("   malloc: %10.1f (%.1fx)", peer, peer / value);
        snprintf(peer_text, sizeof(peer_text),
                 ",\"peer\":\"malloc\",\"peer_value\":%.1f,\"ratio\":%.2f", peer, peer / value);
    }
    printf("\n");
    if (results != NULL) {
        fprintf(results,
                "{\"bench\":\"base.mem\",\"figure\":\"%s_%zu\",\"value\":%.1f,\"unit\":\"ns\","
                "\"better\":\"lower\"%s}\n",
                figure, size, value, peer_text);
    }
}

static void run_blocks(size_t size)
{
    struct tn_block *held[HELD];
    for (size_t i = 0; i < HELD; i++) {
        enum tn_err err = tn_block_create(size, &held[i]);
        TN_ASSERT(err == TN_OK);
        memset(held[i]->data, 1, size);
    }
    for (size_t i = 0; i < HELD; i++) {
        tn_block_unref(held[i]);
    }
}

static void run_malloc(size_t size)
{
    void *held[HELD];
    for (size_t i = 0; i < HELD; i++) {
        held[i] = malloc(size);
        TN_ASSERT(held[i] != NULL);
        memset(held[i], 1, size);
        __asm__ volatile("" ::"r"(held[i]) : "memory");
    }
    for (size_t i = 0; i < HELD; i++) {
        free(held[i]);
    }
}

static double best_ns(void (*run)(size_t size), size_t size)
{
    size_t repeats = size > 100000 ? 20 : 300;
    double best = 1e18;
    for (unsigned round = 0; round < ROUNDS; round++) {
        uint64_t start = tn_clock_thread_ns();
        for (size_t i = 0; i < repeats; i++) {
            run(size);
        }
        double each = (double)(tn_clock_thread_ns() - start) / (double)(repeats * HELD);
        best = each < best ? each : best;
    }
    return best;
}

static struct tn_table table;
static char names[NAMES][32];

static void run_table(size_t size)
{
    for (size_t i = 0; i < HELD; i++) {
        const char *name = names[i * 31 % NAMES];
        TN_ASSERT(tn_table_get(&table, tn_bytes_make(name, size)) == name);
    }
}

static uint8_t data[1 << 20];

static void run_sha256(size_t size)
{
    uint8_t hash[TN_SHA256_SIZE];
    for (size_t i = 0; i < HELD; i++) {
        enum tn_err err = tn_sha256(tn_bytes_make(data, size), hash);
        TN_ASSERT(err == TN_OK);
    }
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {200, 4000, 16000, 65536, 602112};
    results = argc > 1 ? fopen(argv[1], "a") : NULL;
    for (size_t i = 0; i < TN_COUNT(sizes); i++) {
        double peer = best_ns(run_malloc, sizes[i]);
        record("block", sizes[i], best_ns(run_blocks, sizes[i]), peer);
    }
    tn_table_init(&table, NAMES, NULL);
    for (size_t i = 0; i < NAMES; i++) {
        int size = snprintf(names[i], sizeof(names[i]), "model-%010zu", i);
        enum tn_err err = tn_table_put(&table, tn_bytes_make(names[i], (size_t)size), names[i]);
        TN_ASSERT(err == TN_OK);
    }
    record("table_get", 16, best_ns(run_table, 16), 0);
    tn_table_deinit(&table);
    record("sha256", 64, best_ns(run_sha256, 64), 0);
    record("sha256", sizeof(data), best_ns(run_sha256, sizeof(data)), 0);
    if (results != NULL) {
        fclose(results);
    }
    return 0;
}
