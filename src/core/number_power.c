/* The rows of number_power.h. */
#include "core/number_power.h"

/* clang-format off: the rows come from a script */
const struct tn_wide tn_powers[TN_POWER_LAST - TN_POWER_FIRST + 1] = {
#include "core/number_powers.inc.h"
};
/* clang-format on */
