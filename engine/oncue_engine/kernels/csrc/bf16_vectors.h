/* 16 floats at a time, to the precision that bf16 keeps, for builds whose processors have AVX-512. */
#pragma once

#if defined(__x86_64__) && defined(__AVX512F__) && (defined(__clang__) ? __clang_major__ >= 14 : __GNUC__ >= 11)
#define BF16_VECTORS 1
#include <immintrin.h>
#include <stdint.h>

/* Functions that convert in hardware; to be called only where `rounds_in_hardware`. */
#define BF16_ROUNDING __attribute__((target("avx512bf16")))

static inline int rounds_in_hardware(void) { return __builtin_cpu_supports("avx512bf16"); }

/* 2^x to 1e-4, less than what bf16 keeps; NaN stays. */
static inline __m512 coarse_power(__m512 x) {
    __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 rest = _mm512_sub_ps(x, whole);
    __m512 p = _mm512_fmadd_ps(rest, _mm512_set1_ps(0.05550327f), _mm512_set1_ps(0.24261112f));
    p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(0.69326099f));
    p = _mm512_fmadd_ps(p, rest, _mm512_set1_ps(0.99992807f));
    return _mm512_scalef_ps(p, whole);
}

/* 1 / (1 + exp(-x)), alike. */
static inline __m512 coarse_sigmoid(__m512 x) {
    __m512 power = coarse_power(_mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f)));
    return _mm512_rcp14_ps(_mm512_add_ps(power, _mm512_set1_ps(1.0f)));
}

/* 32 bf16 -> the first 16 and the last 16 as floats. */
static inline __m512 lower_floats(__m512i both) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(both)), 16));
}

static inline __m512 upper_floats(__m512i both) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1)), 16));
}
#endif
