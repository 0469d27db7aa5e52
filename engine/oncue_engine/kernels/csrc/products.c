/* Products of packed frames with weights that were laid out as tiles once (kernels/products.py), for processors with
   matrix tiles: without a copy of the weights in every call, and with the gate where the sums still are. */
#include "kernels.h"
#include "tiles.h"

#ifdef HAVE_TILES
/* Bytes of x that are gone over again for every 32 columns: what a core's second cache keeps. */
enum { KEPT_BYTES = 512 * 1024 };

TILES static inline void round_sums(const float *sums, int64_t rows, const float *bias, uint16_t *out, int64_t stride) {
    __m512 left = bias ? _mm512_loadu_ps(bias) : _mm512_setzero_ps();
    __m512 right = bias ? _mm512_loadu_ps(bias + 16) : _mm512_setzero_ps();
    for (int64_t row = 0; row < rows; row++) {
        __m512 a = _mm512_add_ps(_mm512_load_ps(sums + row * 32), left);
        __m512 b = _mm512_add_ps(_mm512_load_ps(sums + row * 32 + 16), right);
        _mm512_storeu_si512(out + row * stride, (__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
}

TILES static inline void gate_sums(const float *sums, int64_t rows, uint16_t *out, int64_t stride) {
    for (int64_t row = 0; row < rows; row++) {
        __m512 a = _mm512_load_ps(sums + row * 32), b = _mm512_load_ps(sums + row * 32 + 16);
        __m512 gated = _mm512_mul_ps(_mm512_mul_ps(a, coarse_sigmoid(a)), b);
        _mm256_storeu_si256((void *)(out + row * stride), (__m256i)_mm512_cvtneps_pbh(gated));
    }
}

TILES static inline void product(const uint16_t *x, int64_t x_stride, int64_t rows, const uint32_t *weight,
                                 const float *bias, uint16_t *out, int64_t out_stride, int64_t inner, int64_t columns,
                                 int gate) {
    int64_t parts = inner / 32, chunk = KEPT_BYTES / (inner * 2) / 32 * 32;
    float sums[32 * 32] __attribute__((aligned(64)));
    if (chunk < 32) chunk = 32;
    for (int64_t begin = 0; begin < rows; begin += chunk) {
        int64_t end = rows - begin < chunk ? rows : begin + chunk, whole = begin + (end - begin) / 32 * 32;
        for (int rest = 0; rest < 2; rest++) {
            /* First all blocks of 32 rows, then the one that is shorter. */
            int64_t from = rest ? whole : begin, to = rest ? end : whole, left_over = end - whole;
            if (from == to) continue;
            int upper_rows = rest && left_over < 16 ? (int)left_over : 16;
            int lower_rows = rest ? (left_over > 16 ? (int)left_over - 16 : 1) : 16;
            shape_tiles(upper_rows, lower_rows);
            for (int64_t column = 0; column < columns; column += 32) {
                const uint32_t *tile = weight + column / 16 * parts * 256;
                for (int64_t row = from; row < to; row += 32) {
                    const uint16_t *upper = x + row * x_stride;
                    /* Where there are no lower rows, one is computed for nothing. */
                    const uint16_t *lower = to - row > 16 ? upper + 16 * x_stride : upper;
                    clear_sums();
                    for (int64_t part = 0; part < parts; part++)
                        add_step(upper + part * 32, lower + part * 32, x_stride * 2, tile + part * 256,
                                 tile + (parts + part) * 256);
                    store_sums(sums, sums + 16 * 32, 128);
                    int64_t here = to - row < 32 ? to - row : 32;
                    if (gate) gate_sums(sums, here, out + row * out_stride + column / 2, out_stride);
                    else round_sums(sums, here, bias ? bias + column : 0, out + row * out_stride + column, out_stride);
                }
            }
        }
    }
    _tile_release();
}
#endif

/* x [rows, inner] bf16, rows `x_stride` apart, times weight (tiles [columns / 16][inner / 32][16 pairs][16 columns]),
   plus bias [columns] float if there is one -> out [rows, columns] bf16. With `gate`: neighbouring tiles hold a and b of
   the same columns, and out [rows, columns / 2] is silu(a) * b. Both axes of the weight are multiples of 32.
   Only where oncue_tiles_fit. */
#ifdef HAVE_TILES
TILES
#endif
EXPORT void oncue_product(const uint16_t *x, int64_t x_stride, int64_t rows, const void *weight, const float *bias,
                          uint16_t *out, int64_t out_stride, int64_t inner, int64_t columns, int32_t gate) {
#ifdef HAVE_TILES
    if (gate) product(x, x_stride, rows, weight, bias, out, out_stride, inner, columns, 1);
    else product(x, x_stride, rows, weight, bias, out, out_stride, inner, columns, 0);
#else
    (void)x, (void)x_stride, (void)rows, (void)weight, (void)bias, (void)out, (void)out_stride, (void)inner;
    (void)columns, (void)gate;
#endif
}
