/* What stands between the matrix products of the flow estimator (model/packed_dit.py), fused so that memory is read
   once. `half` says what the products take and give: bf16 (1) or float (0). Frames of several rows lie one after the
   other on one axis; `ends` [segments] says where each stops, and `branches` segments in a row share one modulation. */
#include "bf16_vectors.h"
#include "kernels.h"

#define INLINE static inline __attribute__((always_inline))

INLINE float get(const void *p, int64_t i, int half) {
    return half ? from_bf16(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

INLINE void put(void *p, int64_t i, float value, int half) {
    if (half) ((uint16_t *)p)[i] = to_bf16(value);
    else ((float *)p)[i] = value;
}

INLINE const void *at(const void *p, int64_t i, int half) { return (const char *)p + i * (half ? 2 : 4); }
INLINE void *out_at(void *p, int64_t i, int half) { return (char *)p + i * (half ? 2 : 4); }

/* An unlike compilation for each of the two, out of one text. */
#define FOR_BOTH(call_half, call_full) do { if (half) { call_half; } else { call_full; } } while (0)

INLINE void silu_gate(const void *both, void *out, int64_t rows, int64_t width, int half) {
    for (int64_t row = 0; row < rows; row++) {
        const void *a = at(both, row * 2 * width, half), *b = at(a, width, half);
        void *y = out_at(out, row * width, half);
#pragma GCC ivdep
        for (int64_t i = 0; i < width; i++) {
            float x = get(a, i, half);
            put(y, i, x / (1.0f + fast_exp(-x)) * get(b, i, half), half);
        }
    }
}

#ifdef BF16_VECTORS
/* Of a width in whole vectors. */
BF16_ROUNDING static void silu_gate_vectors(const uint16_t *both, uint16_t *out, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; row++) {
        const uint16_t *a = both + row * 2 * width, *b = a + width;
        for (int64_t i = 0; i < width; i += 32) {
            __m512i first = _mm512_loadu_si512(a + i), second = _mm512_loadu_si512(b + i);
            __m512 low = lower_floats(first), high = upper_floats(first);
            low = _mm512_mul_ps(_mm512_mul_ps(low, coarse_sigmoid(low)), lower_floats(second));
            high = _mm512_mul_ps(_mm512_mul_ps(high, coarse_sigmoid(high)), upper_floats(second));
            _mm512_storeu_si512(out + row * width + i, (__m512i)_mm512_cvtne2ps_pbh(high, low));
        }
    }
}
#endif

/* both [rows, 2 * width], first half a, second half b -> out [rows, width]: silu(a) * b. */
EXPORT void oncue_silu_gate(const void *both, void *out, int64_t rows, int64_t width, int32_t half) {
#ifdef BF16_VECTORS
    if (half && width % 32 == 0 && rounds_in_hardware()) {
        silu_gate_vectors(both, out, rows, width);
        return;
    }
#endif
    FOR_BOTH(silu_gate(both, out, rows, width, 1), silu_gate(both, out, rows, width, 0));
}

INLINE void residual_norm(float *x, const void *y, int replace, void *copy, int64_t copy_stride, const int64_t *ends,
                          int64_t segments, int64_t branches, const float *modulation, int64_t modulation_stride,
                          void *out, int64_t out_stride, int64_t width, float eps, int half) {
    int64_t row = 0;
    for (int64_t segment = 0; segment < segments; segment++) {
        const float *scale = modulation + segment / branches * modulation_stride, *shift = scale + width;
        for (; row < ends[segment]; row++) {
            float *stream = x + row * width;
            float square = 0.0f;
            if (y) {
                const void *added = at(y, row * width, half);
                if (replace) {
#pragma GCC ivdep
                    for (int64_t i = 0; i < width; i++) stream[i] = get(added, i, half);
                } else {
#pragma GCC ivdep
                    for (int64_t i = 0; i < width; i++) stream[i] += get(added, i, half);
                }
            }
            if (copy) {
                void *kept = out_at(copy, row * copy_stride, half);
#pragma GCC ivdep
                for (int64_t i = 0; i < width; i++) put(kept, i, stream[i], half);
            }
            if (!out) continue;
            for (int64_t i = 0; i < width; i++) square += stream[i] * stream[i];
            float factor = 1.0f / __builtin_sqrtf(square / (float)width + eps);
            void *normed = out_at(out, row * out_stride, half);
#pragma GCC ivdep
            for (int64_t i = 0; i < width; i++) put(normed, i, stream[i] * factor * scale[i] + shift[i], half);
        }
    }
}

/* x [frames, width] float += y (or = y with `replace`; no y: stays); then `copy` = x, and
   out = x / rms(x) * scale + shift, where modulation holds scale and shift. Either output may be missing. */
EXPORT void oncue_residual_norm(float *x, const void *y, int32_t replace, void *copy, int64_t copy_stride,
                                const int64_t *ends, int64_t segments, int64_t branches, const float *modulation,
                                int64_t modulation_stride, void *out, int64_t out_stride, int64_t width, float eps,
                                int32_t half) {
    FOR_BOTH(residual_norm(x, y, replace, copy, copy_stride, ends, segments, branches, modulation, modulation_stride,
                           out, out_stride, width, eps, 1),
             residual_norm(x, y, replace, copy, copy_stride, ends, segments, branches, modulation, modulation_stride,
                           out, out_stride, width, eps, 0));
}

INLINE void rotate(void *qkv, const float *rotary, const int64_t *ends, int64_t segments, int64_t heads,
                   int64_t head_dim, int half) {
    int64_t row = 0;
    for (int64_t segment = 0; segment < segments; segment++) {
        const float *turn = rotary;
        for (; row < ends[segment]; row++, turn += head_dim) {
            void *values = out_at(qkv, row * 3 * heads * head_dim, half);
            /* Queries, then keys: twice as many heads, all turned alike. */
            for (int64_t head = 0; head < 2 * heads; head++) {
                void *pair = out_at(values, head * head_dim, half);
#pragma GCC ivdep
                for (int64_t i = 0; i < head_dim; i += 2) {
                    float even = get(pair, i, half), odd = get(pair, i + 1, half), c = turn[i / 2], s = turn[(head_dim + i) / 2];
                    put(pair, i, even * c - odd * s, half);
                    put(pair, i + 1, odd * c + even * s, half);
                }
            }
        }
    }
}

/* qkv [frames, 3 * heads * head_dim]: queries and keys turned in place; rotary [longest, 2, head_dim / 2] cos, sin. */
EXPORT void oncue_rotate(void *qkv, const float *rotary, const int64_t *ends, int64_t segments, int64_t heads,
                         int64_t head_dim, int32_t half) {
    FOR_BOTH(rotate(qkv, rotary, ends, segments, heads, head_dim, 1),
             rotate(qkv, rotary, ends, segments, heads, head_dim, 0));
}

INLINE void wave_input(float *x, const void *y, int replace, int64_t y_stride, const int64_t *ends, int64_t segments,
                       int64_t pad, void *out, int64_t width, int half) {
    int64_t begin = 0, padded = 0;
    for (int64_t segment = 0; segment < segments; segment++) {
        int64_t end = ends[segment], count = end - begin;
        for (int64_t row = begin; row < end; row++) {
            float *stream = x + row * width;
            const void *added = at(y, row * y_stride, half);
            if (replace) {
#pragma GCC ivdep
                for (int64_t i = 0; i < width; i++) stream[i] = get(added, i, half);
            } else {
#pragma GCC ivdep
                for (int64_t i = 0; i < width; i++) stream[i] += get(added, i, half);
            }
        }
        /* A segment not longer than the padding is lengthened with zeros first, as in `reflect_index`. */
        int64_t last = (count > pad ? count : pad + 1) - 1;
        for (int64_t position = -pad; position < count + pad; position++, padded++) {
            int64_t folded = position < 0 ? -position : position;
            int64_t source = folded > last ? 2 * last - folded : folded;
            void *to = out_at(out, padded * width, half);
            if (source < 0 || source >= count) {
                memset(to, 0, width * (half ? 2 : 4));
                continue;
            }
            const float *stream = x + (begin + source) * width;
#pragma GCC ivdep
            for (int64_t i = 0; i < width; i++) put(to, i, stream[i], half);
        }
        begin = end;
    }
}

/* x [frames, width] float += y (or = y with `replace`), y's rows `y_stride` apart; out
   [frames + 2 * pad * segments, width]: x with each segment reflected at both of its ends. */
EXPORT void oncue_wave_input(float *x, const void *y, int64_t y_stride, int32_t replace, const int64_t *ends,
                             int64_t segments, int64_t pad, void *out, int64_t width, int32_t half) {
    FOR_BOTH(wave_input(x, y, replace, y_stride, ends, segments, pad, out, width, 1),
             wave_input(x, y, replace, y_stride, ends, segments, pad, out, width, 0));
}

/* tanh(a) / (1 + exp(-b)) with one division; tanh is 1 at 10 already. */
INLINE float wave_gate_value(float a, float b) {
    float clipped = a < -10.0f ? -10.0f : (a > 10.0f ? 10.0f : a);
    float square = fast_exp(2.0f * clipped);
    return (square - 1.0f) / ((square + 1.0f) * (1.0f + fast_exp(-b)));
}

INLINE void wave_gate(const void *gates, const float *condition, int64_t condition_stride, const int64_t *ends,
                      int64_t segments, int64_t branches, int64_t pad, void *out, int64_t out_stride, int64_t width,
                      int half) {
    int64_t row = 0;
    for (int64_t segment = 0; segment < segments; segment++) {
        const float *added = condition + segment / branches * condition_stride;
        for (; row < ends[segment]; row++) {
            const void *both = at(gates, (row + 2 * pad * segment) * 2 * width, half);
            void *gated = out_at(out, row * out_stride, half);
#pragma GCC ivdep
            for (int64_t i = 0; i < width; i++) {
                float a = get(both, i, half) + added[i], b = get(both, width + i, half) + added[width + i];
                put(gated, i, wave_gate_value(a, b), half);
            }
        }
    }
}

/* gates [frames + 2 * pad * (segments - 1), 2 * width], `condition` [jobs, 2 * width] added
   -> out [frames, width], rows `out_stride` apart: tanh of the first half times sigmoid of the second. */
EXPORT void oncue_wave_gate(const void *gates, const float *condition, int64_t condition_stride, const int64_t *ends,
                            int64_t segments, int64_t branches, int64_t pad, void *out, int64_t out_stride,
                            int64_t width, int32_t half) {
    FOR_BOTH(wave_gate(gates, condition, condition_stride, ends, segments, branches, pad, out, out_stride, width, 1),
             wave_gate(gates, condition, condition_stride, ends, segments, branches, pad, out, out_stride, width, 0));
}

INLINE void mean_and_factor(const void *x, const void *y, int64_t width, float eps, float *mean, float *factor,
                            int half) {
    float sum = 0.0f, square = 0.0f;
    for (int64_t i = 0; i < width; i++) sum += get(x, i, half) + get(y, i, half);
    sum /= (float)width;
    for (int64_t i = 0; i < width; i++) {
        float centred = get(x, i, half) + get(y, i, half) - sum;
        square += centred * centred;
    }
    *mean = sum;
    *factor = 1.0f / __builtin_sqrtf(square / (float)width + eps);
}

INLINE void guided_norm(const void *x, const void *y, int64_t y_stride, const int64_t *ends, const int64_t *kept,
                        int64_t jobs, int64_t branches, float guidance, const float *modulation,
                        int64_t modulation_stride, void *out, int64_t width, float eps, int half) {
    int64_t row = 0;
    for (int64_t job = 0; job < jobs; job++) {
        const float *scale = modulation + job * modulation_stride, *shift = scale + width;
        int64_t first = ends[job * branches] - kept[job];
        int64_t other = branches == 2 ? ends[job * branches + 1] - ends[job * branches] : 0;
        for (int64_t frame = first; frame < ends[job * branches]; frame++, row++) {
            const void *a = at(x, frame * width, half), *b = at(y, frame * y_stride, half);
            const void *c = at(x, (frame + other) * width, half), *d = at(y, (frame + other) * y_stride, half);
            void *normed = out_at(out, row * width, half);
            float mean, factor, null_mean = 0.0f, null_factor = 0.0f;
            mean_and_factor(a, b, width, eps, &mean, &factor, half);
            factor *= branches == 2 ? 1.0f + guidance : 1.0f;
            if (branches == 2) {
                mean_and_factor(c, d, width, eps, &null_mean, &null_factor, half);
                null_factor *= guidance;
#pragma GCC ivdep
                for (int64_t i = 0; i < width; i++) {
                    float value = (get(a, i, half) + get(b, i, half) - mean) * factor;
                    float null = (get(c, i, half) + get(d, i, half) - null_mean) * null_factor;
                    put(normed, i, (value - null) * scale[i] + shift[i], half);
                }
            } else {
#pragma GCC ivdep
                for (int64_t i = 0; i < width; i++)
                    put(normed, i, (get(a, i, half) + get(b, i, half) - mean) * factor * scale[i] + shift[i], half);
            }
        }
    }
}

/* Layer norm of x + y (rows of y `y_stride` apart), times scale, plus shift, of the last `kept` [jobs] frames of each
   job -> out. With two branches: (1 + guidance) times the first minus guidance times the second, which is the same
   frames further on. */
EXPORT void oncue_guided_norm(const void *x, const void *y, int64_t y_stride, const int64_t *ends, const int64_t *kept,
                              int64_t jobs, int64_t branches, float guidance, const float *modulation,
                              int64_t modulation_stride, void *out, int64_t width, float eps, int32_t half) {
    FOR_BOTH(guided_norm(x, y, y_stride, ends, kept, jobs, branches, guidance, modulation, modulation_stride, out,
                         width, eps, 1),
             guided_norm(x, y, y_stride, ends, kept, jobs, branches, guidance, modulation, modulation_stride, out,
                         width, eps, 0));
}
