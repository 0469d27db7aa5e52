/* The convolutions of convolution.c with bf16 products and float32 sums, on the matrix unit (AMX) where there is one.

   Tiles: weights 16 rows x up to 32 channels; input up to 16 pairs of channels x 16 samples, read in place at each
   tap's shift; sums 16 rows x 16 samples. Four sums at a time: 32 rows x 32 samples. */
#include "convolution.h"

#if defined(__AVX512F__) && defined(__linux__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TILE = 16, SIDE = 2 * TILE };
enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 }; /* arch_prctl: ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_shapes __attribute__((aligned(64)));

/* 1 where the processor has bf16 tiles and the system lets this process use them. */
EXPORT int64_t oncue_has_bf16_tiles(void) {
    uint32_t a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if (!(d >> 22 & 1) || !(d >> 24 & 1)) return 0; /* AMX-BF16, AMX-TILE */
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

/* x [blocks * pairs, x_stride] of pairs of channels, from the first tap of sample 0 on;
   w [ceil(rows / 32), blocks, taps, 32, pairs, 2] bf16, zeros beyond rows; pairs <= 16. */
__attribute__((target("amx-tile,amx-bf16"))) EXPORT void
oncue_convolution_bf16(const uint32_t *restrict x, int64_t x_stride, const uint32_t *restrict w, int64_t blocks,
                       int64_t pairs, int64_t taps, int64_t dilation, int64_t rows, int64_t length,
                       const epilogue *end) {
    float out[SIDE * SIDE] __attribute__((aligned(64)));
    tile_shapes shapes = {.palette = 1}, before;
    for (int i = 0; i < 8; i++) {
        int weights = i == 4 || i == 5, input = i >= 6;
        shapes.rows[i] = input ? pairs : TILE;
        shapes.row_bytes[i] = weights ? 4 * pairs : 4 * TILE;
    }
    _tile_storeconfig(&before); /* others keep theirs between calls */
    _tile_loadconfig(&shapes);
    int64_t w_block = SIDE * pairs, w_row_bytes = 4 * pairs, x_row_bytes = 4 * x_stride, out_row_bytes = 4 * SIDE;
    for (int64_t first_row = 0; first_row < rows; first_row += SIDE, w += taps * blocks * w_block) {
        int both = rows - first_row > TILE; /* else the second tile of weights is all zeros */
        for (int64_t first = 0; first < length; first += SIDE) {
            const uint32_t *weights = w;
            _tile_zero(0);
            _tile_zero(1);
            _tile_zero(2);
            _tile_zero(3);
            for (int64_t block = 0; block < blocks; block++) {
                /* Taps inside: what they read of these channels lies in the first cache from the first tap on. */
                const uint32_t *input = x + block * pairs * x_stride + first;
                for (int64_t tap = 0; tap < taps; tap++, weights += w_block, input += dilation) {
                    _tile_loadd(6, input, x_row_bytes);
                    _tile_loadd(7, input + TILE, x_row_bytes);
                    _tile_loadd(4, weights, w_row_bytes);
                    _tile_dpbf16ps(0, 4, 6);
                    _tile_dpbf16ps(1, 4, 7);
                    if (both) {
                        _tile_loadd(5, weights + TILE * pairs, w_row_bytes);
                        _tile_dpbf16ps(2, 5, 6);
                        _tile_dpbf16ps(3, 5, 7);
                    }
                }
            }
            _tile_stored(0, out, out_row_bytes);
            _tile_stored(1, out + TILE, out_row_bytes);
            _tile_stored(2, out + TILE * SIDE, out_row_bytes);
            _tile_stored(3, out + TILE * SIDE + TILE, out_row_bytes);
            finish(out, SIDE, SIDE, first_row, rows, first, length, end);
        }
    }
    _tile_loadconfig(&before);
}

#else

EXPORT int64_t oncue_has_bf16_tiles(void) { return 0; }

#endif
