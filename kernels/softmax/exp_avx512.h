// SPDX-License-Identifier: MIT
// e^x of sixteen floats, for the kernels that need it. Relative error below 2e-7 (checked through their ops); 0 for −infinity,
// infinite above 88.7, NaN for NaN.
#ifndef LLMSWEEP_EXP_AVX512_H
#define LLMSWEEP_EXP_AVX512_H

#include <immintrin.h>

static inline __m512 exp_ps_avx512(__m512 x)
{
    // e^x = 2^n · e^r with |r| ≤ ln2/2; the polynomial interpolates (e^r − 1)/r at Chebyshev nodes.
    // min and max return their second operand when one is NaN.
    const __m512 clipped = _mm512_max_ps(_mm512_set1_ps(-105.0f), _mm512_min_ps(_mm512_set1_ps(89.0f), x));
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(clipped, _mm512_set1_ps(1.44269504f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e4p-1f), clipped);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f), r);
    __m512 p = _mm512_set1_ps(0.0013933731f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.0083692203f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.0416664642f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.1666650461f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.5f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

// The first `count` of sixteen lanes: 0 … 16.
static inline __mmask16 lanes_avx512(int count)
{
    return (__mmask16)_bzhi_u32(0xffff, (unsigned)count);
}

#endif
