/* Convolutions of the vocoder (model/packed_vocoder.py) over time, float32: a register block of channels x samples.

   The input has margins: rows of `x_stride` samples in which the zeros around the signal stand already, so that the
   loops know no ends. They read up to one block beyond the last sample that counts, and write none of it. */
#include "convolution.h"

#ifdef __AVX512F__
enum { LANES = 16, VECTORS = 4 };
#else
enum { LANES = 8, VECTORS = 2 };
#endif
enum { ROWS = 6, SAMPLES = LANES * VECTORS };
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* One block: y[ROWS][SAMPLES] = sum over taps and channels of w[channel][tap][row] * x[channel][sample + tap * step]. */
static void block(const float *restrict x, int64_t x_stride, const float *restrict w, int64_t channels, int64_t taps,
                  int64_t dilation, float *restrict y) {
    lanes sums[ROWS][VECTORS] = {{{0}}};
    for (int64_t channel = 0; channel < channels; channel++, x += x_stride) {
        /* Taps inside: what they read of a channel lies in the first cache from the first tap on. */
        const float *row = x;
        for (int64_t tap = 0; tap < taps; tap++, row += dilation, w += ROWS) {
            lanes input[VECTORS];
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) input[v] = *(const lanes *)(row + v * LANES);
#pragma GCC unroll 6
            for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
                for (int v = 0; v < VECTORS; v++) sums[r][v] += input[v] * w[r];
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < ROWS; r++)
#pragma GCC unroll 4
        for (int v = 0; v < VECTORS; v++) *(lanes *)(y + r * SAMPLES + v * LANES) = sums[r][v];
}

EXPORT int64_t oncue_convolution_rows(void) { return ROWS; }

/* x [channels, x_stride] from the first tap of sample 0 on; w [ceil(rows / 6), channels, taps, 6], zeros beyond rows. */
EXPORT void oncue_convolution(const float *restrict x, int64_t x_stride, const float *restrict w, int64_t channels,
                              int64_t taps, int64_t dilation, int64_t rows, int64_t length, const epilogue *end) {
    float out[ROWS * SAMPLES];
    for (int64_t first_row = 0; first_row < rows; first_row += ROWS, w += taps * channels * ROWS)
        for (int64_t first = 0; first < length; first += SAMPLES) {
            block(x + first, x_stride, w, channels, taps, dilation, out);
            finish(out, ROWS, SAMPLES, first_row, rows, first, length, end);
        }
}

/* x [channels, length] rounded to bf16, two channels side by side: y[c / 2][t][c % 2], rows of pairs `stride` samples
   apart. A channel without a mate gets zeros beside it. */
EXPORT void oncue_pair_channels(const float *restrict x, uint32_t *restrict y, int64_t channels, int64_t length,
                                int64_t stride) {
    for (int64_t channel = 0; channel < channels; channel += 2) {
        const float *lower = x + channel * length, *upper = lower + length;
        uint32_t *row = y + channel / 2 * stride;
        if (channel + 1 < channels)
            for (int64_t i = 0; i < length; i++) row[i] = to_bf16(lower[i]) | (uint32_t)to_bf16(upper[i]) << 16;
        else
            for (int64_t i = 0; i < length; i++) row[i] = to_bf16(lower[i]);
    }
}

static inline void interleave(const float *restrict x, float *restrict y, int64_t rate, int64_t apart, int64_t length) {
    for (int64_t i = 0; i < length; i++)
        for (int64_t phase = 0; phase < rate; phase++) y[i * rate + phase] = x[phase * apart + i];
}

/* x [rate, channels, length] -> y [channels, length * rate]. */
EXPORT void oncue_interleave(const float *restrict x, float *restrict y, int64_t rate, int64_t channels,
                             int64_t length) {
    for (int64_t channel = 0; channel < channels; channel++, x += length, y += rate * length)
        switch (rate) { /* a constant vectorises */
            case 2: interleave(x, y, 2, channels * length, length); break;
            case 4: interleave(x, y, 4, channels * length, length); break;
            case 8: interleave(x, y, 8, channels * length, length); break;
            default: interleave(x, y, rate, channels * length, length);
        }
}
