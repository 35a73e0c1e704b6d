/* Assertions that stay on in release builds: a broken invariant stops the program before it can
 * answer wrongly. For errors of the program only; bad input is an enum tn_err. */
#ifndef TN_CORE_ASSERT_H
#define TN_CORE_ASSERT_H

/* Called once when an assertion fails, must not return. Each program links one: base/panic.c on
 * a host (prints and aborts), the board's fault handler in firmware. */
_Noreturn void tn_panic(const char *expression, const char *file, int line);

#define TN_ASSERT(expression)                                                                      \
    (__builtin_expect(!!(expression), 1) ? (void)0 : tn_panic(#expression, __FILE__, __LINE__))

#define TN_UNREACHABLE() tn_panic("unreachable", __FILE__, __LINE__)

/* Elements of an array; refuses to compile for a pointer. */
#define TN_COUNT(array)                                                                            \
    (sizeof(array) / sizeof((array)[0]) +                                                          \
     0 * sizeof(char[1 - 2 * __builtin_types_compatible_p(__typeof__(array),                       \
                                                          __typeof__(&(array)[0]))]))

/* The struct that holds `member`, from a pointer to that member. */
#define TN_CONTAINER(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer) - __builtin_offsetof(type, member)))

#endif
