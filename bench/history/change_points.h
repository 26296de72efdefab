// SPDX-License-Identifier: MIT
// Where a series of measurements, oldest first, changes its level.
//
// E-divisive means (Matteson and James 2014, "A Nonparametric Approach for Multiple Change Point Analysis of Multivariate Data", JASA 109,
// equations 5 to 7, exponent 1) finds where a segment divides best; whether it does is decided by Student's t-test between the two sides instead of
// by permutations, within windows, and weak points are merged away again afterwards (Fleming and Kołaczkowski 2023, "Hunter: Using Change Point Detection to Hunt
// for Performance Regressions", ICPE). What looks like steps may be a slope: a point is called a drift where one line through both sides fits
// better than two levels do.
#ifndef LLMSWEEP_CHANGE_POINTS_H
#define LLMSWEEP_CHANGE_POINTS_H

#include <stdbool.h>
#include <stddef.h>

struct change_point {
    size_t index;         // the first measurement of the new level
    double before, after; // means of the levels on both sides
    double p;             // Student's two-sided t-test between them, times the number of places that the point was chosen from (Bonferroni)
    bool drift;
};

struct change_options {
    size_t window;      // 50: how far apart measurements are that are looked at together
    double p;           // 0.001
    double magnitude;   // changes of the mean below this share are left out
    size_t least;       // 3: measurements on each side of a point, so that an outlier is no level
};
extern const struct change_options change_defaults;

// points has room for n. -EINVAL for a value that is not finite, -ENOMEM. *count points in ascending order.
int change_points_find(const double *values, size_t n, const struct change_options *options, struct change_point *points, size_t *count);

#endif
