// SPDX-License-Identifier: MIT
#include "harness/clock.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

uint64_t clock_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double clock_seconds(uint64_t from, uint64_t to) {
    return to >= from ? (double)(to - from) / 1e9 : -(double)(from - to) / 1e9;
}

enum { BATCHES = 101, READS = 400 };
static struct clock_cost measured;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(void) {
    double costs[BATCHES], step = INFINITY;
    for (int batch = 0; batch < BATCHES; batch++) {
        uint64_t begin = clock_now(), last = begin;
        for (int i = 0; i < READS; i++) {
            uint64_t now = clock_now();
            if (now > last)
                step = fmin(step, (double)(now - last));
            last = now;
        }
        costs[batch] = (double)(last - begin) / READS;
    }
    qsort(costs, BATCHES, sizeof *costs, ascending);
    measured = (struct clock_cost){costs[BATCHES / 2], step};
}

struct clock_cost clock_cost(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, measure);
    return measured;
}

double clock_shortest_sample_ns(double share) {
    struct clock_cost cost = clock_cost();
    return (2 * cost.read_ns + cost.resolution_ns) / share;
}
