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
#define MOST_ROWS 12 /* 12 rows of 2 vectors: 24 of 32 registers */
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

/* x [depth, rows] times `vectors` vectors of the panel from column `at` on. `rows`, `vectors` and `format` are constants
   where this is used, so that the sums stay in registers. */
INLINE void product(const float *x, int64_t depth, const void *weights, const int64_t at, const int rows,
                    const int vectors, const int format, float *out) {
    vector sums[MOST_ROWS][VECTORS], even[VECTORS], odd[VECTORS];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < vectors; j++) sums[r][j] = (vector){0};
    const int step = format == BFLOAT16 ? 2 : 1;
    for (int64_t k = 0; k < depth; k += step, x += step * rows) {
        for (int j = 0; j < vectors; j++) {
            int64_t i = k * PANEL + at + j * LANES;
            if (format == BFLOAT16) {
                bits pair;
                memcpy(&pair, (const uint32_t *)weights + k / 2 * PANEL + at + j * LANES, sizeof pair);
                even[j] = (vector)(pair << 16);
                odd[j] = (vector)(pair & 0xffff0000u);
            } else {
                even[j] = format == FLOAT32   ? load_float32((const float *)weights + i)
                          : format == FLOAT16 ? load_float16((const uint16_t *)weights + i)
                                              : load_int8((const int8_t *)weights + i);
            }
        }
        for (int r = 0; r < rows; r++)
            for (int j = 0; j < vectors; j++) {
                sums[r][j] += x[r] * even[j];
                if (format == BFLOAT16) sums[r][j] += x[rows + r] * odd[j];
            }
    }
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < vectors; j++) memcpy(out + r * PANEL + at + j * LANES, &sums[r][j], sizeof(vector));
}

/* How many of `rows` rows go together. */
static int64_t block(int64_t rows) {
    if (MOST_ROWS == 1 || rows == 1) return 1;
    return rows < 4 ? rows : rows < 12 ? 4 : 12;
}

void skinny_arrange(const float *x, int64_t rows, int64_t depth, float *arranged) {
    for (int64_t size; rows > 0; rows -= size, x += size * depth, arranged += size * depth) {
        size = block(rows);
        for (int64_t r = 0; r < size; r++)
            for (int64_t k = 0; k < depth; k++) arranged[k * size + r] = x[r * depth + k];
    }
}

INLINE void all_rows(const float *x, int64_t rows, int64_t depth, const void *weights, const int format, float *out) {
    for (int64_t size; rows > 0; rows -= size, x += size * depth, out += size * PANEL) {
        size = block(rows);
#if MOST_ROWS > 1
        /* Many rows by half a panel: each weight widened serves more of them. */
        if (size == 12)
            for (int64_t at = 0; at < PANEL; at += 2 * LANES) product(x, depth, weights, at, 12, 2, format, out);
        else if (size == 4)
            product(x, depth, weights, 0, 4, VECTORS, format, out);
        else if (size == 3)
            product(x, depth, weights, 0, 3, VECTORS, format, out);
        else if (size == 2)
            product(x, depth, weights, 0, 2, VECTORS, format, out);
        else
#endif
            product(x, depth, weights, 0, 1, VECTORS, format, out);
    }
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
