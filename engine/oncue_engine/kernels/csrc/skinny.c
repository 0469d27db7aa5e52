/* y = x W for a few rows x: the weights are read once, in order, and widened to float32 on the way.

   Each sum runs over the depth in its order, one multiply-add after the other, however many rows there are: so a row's
   result is the same to the bit alone and in a crowd. Reordering of sums would break that. */
#pragma GCC optimize("no-associative-math")
#include "skinny.h"
#ifdef __F16C__
#include <immintrin.h>
#endif

#ifdef __AVX512F__
#define LANES 16
#define MOST_ROWS 4 /* 4 rows of 4 vectors: 16 of 32 registers */
#else
#define LANES 8
#define MOST_ROWS 1
#endif
#define VECTORS (PANEL / LANES)
#define INLINE static inline __attribute__((always_inline))

typedef float vector __attribute__((vector_size(4 * LANES)));
typedef uint32_t bits __attribute__((vector_size(4 * LANES)));

INLINE vector load_float32(const float *p) {
    vector out;
    memcpy(&out, p, sizeof out);
    return out;
}

INLINE vector load_float16(const uint16_t *p) {
#if defined(__AVX512F__)
    return (vector)_mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
#elif defined(__F16C__)
    return (vector)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
#else
    vector out;
    for (int i = 0; i < LANES; i++) {
        _Float16 half;
        memcpy(&half, p + i, 2);
        out[i] = (float)half;
    }
    return out;
#endif
}

INLINE vector load_int8(const int8_t *p) {
#if defined(__AVX512F__)
    return (vector)_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
#elif defined(__AVX2__)
    return (vector)_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
#else
    vector out;
    for (int i = 0; i < LANES; i++) out[i] = (float)p[i];
    return out;
#endif
}

/* `rows` and `format` are constants where this is used, so that the sums stay in registers. */
INLINE void product(const float *x, int64_t depth, const void *weights, const int rows, const int format, float *out) {
    vector sums[MOST_ROWS][VECTORS];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < VECTORS; j++) sums[r][j] = (vector){0};
    if (format == BFLOAT16) {
        const uint32_t *w = weights;
        for (int64_t k = 0; k < depth; k += 2, w += PANEL)
            for (int j = 0; j < VECTORS; j++) {
                bits pair;
                memcpy(&pair, w + j * LANES, sizeof pair);
                vector even = (vector)(pair << 16), odd = (vector)(pair & 0xffff0000u);
                for (int r = 0; r < rows; r++) {
                    sums[r][j] += x[r * depth + k] * even;
                    sums[r][j] += x[r * depth + k + 1] * odd;
                }
            }
    } else {
        for (int64_t k = 0; k < depth; k++)
            for (int j = 0; j < VECTORS; j++) {
                int64_t at = k * PANEL + j * LANES;
                vector w = format == FLOAT32   ? load_float32((const float *)weights + at)
                           : format == FLOAT16 ? load_float16((const uint16_t *)weights + at)
                                               : load_int8((const int8_t *)weights + at);
                for (int r = 0; r < rows; r++) sums[r][j] += x[r * depth + k] * w;
            }
    }
    for (int r = 0; r < rows; r++) memcpy(out + r * PANEL, sums[r], sizeof sums[r]);
}

INLINE void all_rows(const float *x, int64_t rows, int64_t depth, const void *weights, const int format, float *out) {
#if MOST_ROWS == 4
    for (; rows >= 4; rows -= 4, x += 4 * depth, out += 4 * PANEL) product(x, depth, weights, 4, format, out);
    if (rows == 3) product(x, depth, weights, 3, format, out);
    if (rows == 2) product(x, depth, weights, 2, format, out);
    if (rows == 1) product(x, depth, weights, 1, format, out);
#else
    for (; rows > 0; rows--, x += depth, out += PANEL) product(x, depth, weights, 1, format, out);
#endif
}

void skinny_product(const struct matrix *matrix, int64_t panel, const float *x, int64_t rows, float *out) {
    static const int64_t sizes[] = {[FLOAT32] = 4, [FLOAT16] = 2, [BFLOAT16] = 2, [INT8] = 1};
    int64_t depth = matrix->depth;
    const char *weights = (const char *)matrix->weights + panel * PANEL * depth * sizes[matrix->format];
    switch (matrix->format) {
        case FLOAT32: all_rows(x, rows, depth, weights, FLOAT32, out); break;
        case FLOAT16: all_rows(x, rows, depth, weights, FLOAT16, out); break;
        case BFLOAT16: all_rows(x, rows, depth, weights, BFLOAT16, out); break;
        default: all_rows(x, rows, depth, weights, INT8, out); break;
    }
    const float *bias = matrix->bias + panel * PANEL, *scales = matrix->scales;
    for (int64_t r = 0; r < rows; r++, out += PANEL)
        for (int64_t i = 0; i < PANEL; i++)
            out[i] = (scales ? out[i] * scales[panel * PANEL + i] : out[i]) + bias[i];
}
