/* What follows the sum of a convolution, in float32 and with bf16 products alike. */
#pragma once
#include "kernels.h"

/* out = scale * (sum + bias[row] + residual) + total. Pointers but `out` may be null; all but bias [rows, length]. */
typedef struct {
    const float *bias, *residual, *total;
    float *out;
    float scale;
} epilogue;

/* `count` samples of one row, from sample `first` of `length` on. */
static inline void finish(const float *restrict sums, int64_t row, int64_t first, int64_t count, int64_t length,
                          const epilogue *end) {
    int64_t at = row * length + first;
    float bias = end->bias ? end->bias[row] : 0.0f, scale = end->scale;
    float *out = end->out + at;
    const float *residual = end->residual ? end->residual + at : 0, *total = end->total ? end->total + at : 0;
    /* `out` may be `residual` or `total`: each sample is read before it is written. */
    if (residual && total)
#pragma GCC ivdep
        for (int64_t i = 0; i < count; i++) out[i] = scale * (sums[i] + bias + residual[i]) + total[i];
    else if (residual)
#pragma GCC ivdep
        for (int64_t i = 0; i < count; i++) out[i] = scale * (sums[i] + bias + residual[i]);
    else if (total)
#pragma GCC ivdep
        for (int64_t i = 0; i < count; i++) out[i] = scale * (sums[i] + bias) + total[i];
    else
#pragma GCC ivdep
        for (int64_t i = 0; i < count; i++) out[i] = scale * (sums[i] + bias);
}
