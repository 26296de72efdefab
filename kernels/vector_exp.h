// SPDX-License-Identifier: MIT
// Exponentials of a vector, by the names of vector_avx2.h or vector_avx512.h, one of which is included before. Relative error below
// 2e-7 (checked through the ops); NaN for NaN. The polynomial interpolates (e^r − 1)/r at Chebyshev nodes, |r| ≤ ln2/2.
#ifndef LLMSWEEP_VECTOR_EXP_H
#define LLMSWEEP_VECTOR_EXP_H

// 0 for −infinity, infinite above 88.7.
static inline vec vec_exp(vec x)
{
    const vec clipped = vec_max(vec_set(-105.0f), vec_min(vec_set(89.0f), x));
    const vec n = vec_round(vec_mul(clipped, vec_set(1.44269504f)));
    vec r = vec_fma(n, vec_set(-0x1.62e4p-1f), clipped);
    r = vec_fma(n, vec_set(-0x1.7f7d1cp-20f), r);
    vec p = vec_set(0.0013933731f);
    p = vec_fma(p, r, vec_set(0.0083692203f));
    p = vec_fma(p, r, vec_set(0.0416664642f));
    p = vec_fma(p, r, vec_set(0.1666650461f));
    p = vec_fma(p, r, vec_set(0.5f));
    p = vec_fma(p, r, vec_set(1.0f));
    p = vec_fma(p, r, vec_set(1.0f));
    return vec_scale(p, n);
}

// 2^x for finite x ≤ 0.
static inline vec vec_exp2(vec x)
{
    const vec n = vec_round(x), r = vec_sub(x, n);
    vec p = vec_set(0.000154532626f);
    p = vec_fma(p, r, vec_set(0.00133909785f));
    p = vec_fma(p, r, vec_set(0.00961808264f));
    p = vec_fma(p, r, vec_set(0.0555035687f));
    p = vec_fma(p, r, vec_set(0.240226507f));
    p = vec_fma(p, r, vec_set(0.693147181f));
    p = vec_fma(p, r, vec_set(1.0f));
    return vec_scale(p, n);
}

#endif
