/* What a failed assertion does on a host: says where, and aborts so that a core dump has the
 * stack. Writes with write(2) alone, since the heap or stdio may be what broke. */
#include "core/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

_Noreturn void tn_panic(const char *expression, const char *file, int line)
{
    char text[512];
    int size = snprintf(text, sizeof(text), "tenon: assertion failed: %s (%s:%d)\n", expression,
                        file, line);
    if (size > 0) {
        size_t length = (size_t)size < sizeof(text) ? (size_t)size : sizeof(text) - 1;
        ssize_t written = write(STDERR_FILENO, text, length);
        (void)written;
    }
    abort();
}
