/* Matrix tiles (AMX) of 16 rows by 64 bytes, for bf16 products with float sums. */
#pragma once
#include "bf16_vectors.h"

#ifdef BF16_VECTORS
#define HAVE_TILES 1
#define TILES __attribute__((target("amx-tile,amx-bf16,avx512bf16")))

/* The compiler does not know that loading a tile reads memory: what it holds back is written here. */
#define WRITTEN() __asm__ volatile("" ::: "memory")

/* Tiles 0 to 3 sum [upper, lower] x [left, right]; 4 and 5 hold the upper and lower rows of the first factor, 6 and 7
   the left and right columns of the second. */
TILES static inline void shape_tiles(int upper_rows, int lower_rows) {
    struct __attribute__((packed)) {
        uint8_t palette, start, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    const int rows[8] = {upper_rows, upper_rows, lower_rows, lower_rows, upper_rows, lower_rows, 16, 16};
    for (int tile = 0; tile < 8; tile++) shape.row_bytes[tile] = 64, shape.rows[tile] = (uint8_t)rows[tile];
    WRITTEN();
    _tile_loadconfig(&shape);
}

TILES static inline void clear_sums(void) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
}

/* One step of 32 along the inner axis. */
TILES static inline void add_step(const uint16_t *upper, const uint16_t *lower, int64_t row_bytes, const uint32_t *left,
                                  const uint32_t *right) {
    _tile_loadd(4, upper, row_bytes);
    _tile_loadd(6, left, 64);
    _tile_loadd(7, right, 64);
    _tile_loadd(5, lower, row_bytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

/* Rows of `out` are row_bytes apart; the lower 16 begin at `lower`. */
TILES static inline void store_sums(float *out, float *lower, int64_t row_bytes) {
    _tile_stored(0, out, row_bytes);
    _tile_stored(1, out + 16, row_bytes);
    _tile_stored(2, lower, row_bytes);
    _tile_stored(3, lower + 16, row_bytes);
}
#endif
