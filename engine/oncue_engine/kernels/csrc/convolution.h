/* What follows the sum of a convolution, in float32 and with bf16 products alike. */
#pragma once
#include "kernels.h"

/* out = scale * (sum + bias[row] + residual) + total. Pointers but `out` may be null; all but bias [rows, length]. */
typedef struct {
    const float *bias, *residual, *total;
    float *out;
    float scale;
} epilogue;

/* `count` samples of one row, from sample `at` of the signal on. */
static inline __attribute__((always_inline)) void finish_row(const float *restrict sums, int64_t row, int64_t at,
                                                             int64_t count, const epilogue *end) {
    const float bias = end->bias ? end->bias[row] : 0.0f, scale = end->scale;
    const float *residual = end->residual + at, *total = end->total + at;
    float *out = end->out + at;
    /* `out` may be `residual` or `total`: each sample is read before it is written. */
    if (end->residual && end->total)
#pragma GCC ivdep
        for (int64_t i = 0; i < count; i++) out[i] = scale * (sums[i] + bias + residual[i]) + total[i];
    else if (end->residual)
#pragma GCC ivdep
        for (int64_t i = 0; i < count; i++) out[i] = scale * (sums[i] + bias + residual[i]);
    else if (end->total)
#pragma GCC ivdep
        for (int64_t i = 0; i < count; i++) out[i] = scale * (sums[i] + bias) + total[i];
    else
#pragma GCC ivdep
        for (int64_t i = 0; i < count; i++) out[i] = scale * (sums[i] + bias);
}

/* A block of sums [rows, samples], of which those below `last_row` and `length` count, goes where it belongs. */
static inline __attribute__((always_inline)) void finish(const float *restrict sums, int64_t rows, int64_t samples,
                                                         int64_t first_row, int64_t last_row, int64_t first,
                                                         int64_t length, const epilogue *end) {
    if (rows > last_row - first_row) rows = last_row - first_row;
    for (int64_t r = 0; r < rows; r++) {
        int64_t row = first_row + r, at = row * length + first;
        if (length - first >= samples) /* the same, with a constant count */
            finish_row(sums + r * samples, row, at, samples, end);
        else
            finish_row(sums + r * samples, row, at, length - first, end);
    }
}
