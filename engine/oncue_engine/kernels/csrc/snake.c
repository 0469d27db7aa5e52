/* The anti-aliased activation of the vocoder (model/bigvgan.py) in one pass over memory.

   Doubled rate by a 12-tap filter in two phases of 6 taps, x + sin(a x)^2 / b, and back by the same filter. Rows are
   channels; a row is worked on in blocks, so that both phases of the doubled signal stay in the first cache. */
#include "kernels.h"

enum { PHASE_TAPS = 6, BLOCK = 512, REACH = 3, ROUND = 16 }; /* REACH: of the doubled signal, on each side of a block */

static inline int64_t rounded(int64_t count) { return (count + ROUND - 1) / ROUND * ROUND; }

/* `value` + sin(u)^2 * inverse with u = rate * value; the sine to about 2e-7 while u itself is exact. The square has the
   period pi, so no sign or quadrant is needed. NaN and infinities give NaN; where u is so large that neighbouring floats
   are periods apart, the square is still in [0, 1], and means as little as u. Sums may be reordered: fma holds order. */
static inline float snake(float value, float rate, float inverse) {
    float u = value * rate;
    float periods = __builtin_rintf(u * 0.318309886f);
    float r = __builtin_fmaf(-periods, 3.14159274f, u);
    r = __builtin_fmaf(periods, 8.74227766e-8f, r); /* the rest of pi */
    float z = r * r;
    z = z > 2.4674011f ? 2.4674011f : z; /* (pi/2)^2 */
    float p = __builtin_fmaf(z, 2.6000243e-06f, -1.9806602e-04f);
    p = __builtin_fmaf(z, p, 8.333017e-03f);
    p = __builtin_fmaf(z, p, -1.6666657e-01f);
    p = __builtin_fmaf(z, p, 1.0f); /* sin(r) / r */
    return __builtin_fmaf(z * inverse, p * p, value);
}

static inline float filtered(const float *restrict x, const float *restrict taps) {
    float sum = x[0] * taps[0];
    for (int i = 1; i < PHASE_TAPS; i++) sum = __builtin_fmaf(x[i], taps[i], sum);
    return sum;
}

/* Samples [first, first + count) of one row x [length] into out; taps: up even, up odd, down even, down odd.
   All loops run over whole vectors: what they make beyond `count` is never looked at. */
static void snake_block(const float *restrict x, int64_t length, int64_t first, int64_t count,
                        const float *restrict taps, float rate, float inverse, float *restrict out) {
    float window[BLOCK + 4 * REACH + 2 * ROUND], even[BLOCK + 2 * REACH + 2 * ROUND],
        odd[BLOCK + 2 * REACH + 2 * ROUND];
    const float *up_even = taps, *up_odd = taps + 6, *down_even = taps + 12, *down_odd = taps + 18;
    int64_t doubled = rounded(count + 2 * REACH), inputs = doubled + 2 * REACH; /* the doubled signal: from first - 3 */
    int64_t begin = first - 2 * REACH, before = begin < 0 ? -begin : 0;
    int64_t known = length - begin < inputs ? length - begin : inputs;
    for (int64_t i = 0; i < before; i++) window[i] = x[0];
    memcpy(window + before, x + begin + before, (known - before) * sizeof(float));
    for (int64_t i = known; i < inputs; i++) window[i] = x[length - 1];
    for (int64_t i = 0; i < doubled; i++) {
        even[i] = snake(filtered(window + i, up_even), rate, inverse);
        odd[i] = snake(filtered(window + i + 1, up_odd), rate, inverse);
    }
    /* Beyond its ends the doubled signal stands still, at its first (even) and last (odd) value. */
    for (int64_t i = 0; i < REACH - first; i++) even[i] = odd[i] = even[REACH - first];
    for (int64_t i = length - first + REACH; i < doubled; i++) even[i] = odd[i] = odd[length - 1 - first + REACH];
    int64_t outputs = rounded(count);
    for (int64_t i = 0; i < outputs; i++)
        out[i] = filtered(even + i + 1, down_even) + filtered(odd + i, down_odd);
}

/* x [rows, length] -> y, rows `stride` apart; row r has the rates of channel r % channels. */
EXPORT void oncue_snake(const float *restrict x, const float *restrict taps, const float *restrict rate,
                        const float *restrict inverse, float *restrict y, int64_t rows, int64_t channels,
                        int64_t length, int64_t stride) {
    float out[BLOCK];
    for (int64_t row = 0; row < rows; row++) {
        const float *in = x + row * length;
        for (int64_t first = 0; first < length; first += BLOCK) {
            int64_t count = length - first < BLOCK ? length - first : BLOCK;
            snake_block(in, length, first, count, taps, rate[row % channels], inverse[row % channels], out);
            memcpy(y + row * stride + first, out, count * sizeof(float));
        }
    }
}

/* The same for x [channels, length], rounded to bf16, two channels side by side: y[c / 2][t][c % 2], rows of pairs
   `stride` samples apart. A channel without a mate gets zeros beside it. */
EXPORT void oncue_snake_bf16(const float *restrict x, const float *restrict taps, const float *restrict rate,
                             const float *restrict inverse, uint32_t *restrict y, int64_t channels, int64_t length,
                             int64_t stride) {
    float lower[BLOCK], upper[BLOCK];
    for (int64_t channel = 0; channel < channels; channel += 2) {
        uint32_t *row = y + channel / 2 * stride;
        const float *in = x + channel * length;
        for (int64_t first = 0; first < length; first += BLOCK) {
            int64_t count = length - first < BLOCK ? length - first : BLOCK;
            snake_block(in, length, first, count, taps, rate[channel], inverse[channel], lower);
            if (channel + 1 < channels)
                snake_block(in + length, length, first, count, taps, rate[channel + 1], inverse[channel + 1], upper);
            else
                memset(upper, 0, sizeof upper);
            for (int64_t i = 0; i < count; i++)
                row[first + i] = (uint32_t)to_bf16(lower[i]) | (uint32_t)to_bf16(upper[i]) << 16;
        }
    }
}
