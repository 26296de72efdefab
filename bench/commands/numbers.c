// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>

#include "bench/commands/commands.h"

bool command_number(const char *text, int lowest, int highest, int *value) {
    char *end;
    errno = 0;
    const long number = strtol(text, &end, 10);
    *value = (int)number;
    return end != text && !*end && !errno && number >= lowest && number <= highest;
}
