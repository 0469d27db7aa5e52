/* Attention of the flow estimator on processors with matrix tiles (AMX): turning, scores, softmax and mixing of a block
   of queries stay in the cache, and the heads need not be laid out first. Elsewhere PyTorch's own attention serves. */
#include "kernels.h"
#include "tiles.h"

#ifdef HAVE_TILES
enum { QUERIES = 32 };

/* 16 neighbouring pairs of bf16, turned. */
TILES static inline __m512i turned(const uint16_t *pairs, const float *cos, const float *sin, __m512 scale) {
    __m512i both = _mm512_loadu_si512(pairs);
    __m512 even = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_slli_epi32(both, 16)), scale);
    __m512 odd = _mm512_mul_ps(_mm512_castsi512_ps(_mm512_and_si512(both, _mm512_set1_epi32(0xffff0000))), scale);
    __m512 c = _mm512_loadu_ps(cos), s = _mm512_loadu_ps(sin);
    __m512 first = _mm512_sub_ps(_mm512_mul_ps(even, c), _mm512_mul_ps(odd, s));
    __m512 second = _mm512_add_ps(_mm512_mul_ps(odd, c), _mm512_mul_ps(even, s));
    __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(first));
    __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(second));
    return _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
}

/* Keys of one head as tiles [key block of 16][32 dims][16 pairs of dims][16 keys], zero past the last. */
TILES static void pack_keys(const uint16_t *key, int64_t stride, const float *rotary, int64_t count, int64_t padded,
                            int64_t head_dim, uint32_t *out) {
    int64_t parts = head_dim / 32, half = head_dim / 2;
    __m512i rows = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                      _mm512_set1_epi32(16));
    for (int64_t n = 0; n < padded; n++) {
        for (int64_t part = 0; part < parts; part++) {
            const float *cos = rotary + n * head_dim + part * 16, *sin = cos + half;
            __m512i pairs = n < count ? turned(key + n * stride + part * 32, cos, sin, _mm512_set1_ps(1.0f))
                                      : _mm512_setzero_si512();
            _mm512_i32scatter_epi32(out + (n / 16 * parts + part) * 256 + n % 16, rows, pairs, 4);
        }
    }
}

/* Values of one head as tiles [key block of 32][16 dims][16 pairs of keys][16 dims], zero past the last. */
TILES static void pack_values(const uint16_t *value, int64_t stride, int64_t count, int64_t padded, int64_t head_dim,
                              uint32_t *out) {
    int64_t parts = head_dim / 16;
    __m256i none = _mm256_setzero_si256();
    for (int64_t n = 0; n < padded; n += 2) {
        for (int64_t part = 0; part < parts; part++) {
            const uint16_t *at = value + n * stride + part * 16;
            __m256i first = n < count ? _mm256_loadu_si256((const void *)at) : none;
            __m256i second = n + 1 < count ? _mm256_loadu_si256((const void *)(at + stride)) : none;
            __m512i both = _mm512_or_si512(_mm512_cvtepu16_epi32(first),
                                           _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
            _mm512_storeu_si512(out + (n / 32 * parts + part) * 256 + n % 32 / 2 * 16, both);
        }
    }
}

/* scores [QUERIES, padded] = query [QUERIES, head_dim] times the packed keys. */
TILES static void score(const uint16_t *query, const uint32_t *keys, int64_t padded, int64_t head_dim, float *scores) {
    int64_t parts = head_dim / 32;
    WRITTEN();
    for (int64_t n = 0; n < padded; n += 32) {
        const uint32_t *tile = keys + n / 16 * parts * 256;
        clear_sums();
        for (int64_t part = 0; part < parts; part++)
            add_step(query + part * 32, query + 16 * head_dim + part * 32, head_dim * 2, tile + part * 256,
                     tile + (parts + part) * 256);
        store_sums(scores + n, scores + 16 * padded + n, padded * 4);
    }
}

/* One row of scores -> 2^(score - largest) in bf16, zero past `count`; returns their sum. */
TILES static float soften(const float *scores, int64_t count, int64_t padded, uint16_t *out) {
    __mmask16 lower = 0xffff, upper = 0xffff;
    int64_t full = count / 32 * 32, rest = count - full;
    if (rest) {
        lower = rest >= 16 ? 0xffff : (__mmask16)((1u << rest) - 1);
        upper = rest <= 16 ? 0 : (__mmask16)((1u << (rest - 16)) - 1);
    }
    __m512 most = _mm512_set1_ps(-3.0e38f), most2 = most;
    for (int64_t n = 0; n < full; n += 32) {
        most = _mm512_max_ps(most, _mm512_loadu_ps(scores + n));
        most2 = _mm512_max_ps(most2, _mm512_loadu_ps(scores + n + 16));
    }
    if (rest) {
        most = _mm512_mask_max_ps(most, lower, most, _mm512_loadu_ps(scores + full));
        most2 = _mm512_mask_max_ps(most2, upper, most2, _mm512_loadu_ps(scores + full + 16));
    }
    __m512 largest = _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(most, most2)));
    __m512 sum = _mm512_setzero_ps(), sum2 = sum;
    for (int64_t n = 0; n < full; n += 32) {
        __m512 a = coarse_power(_mm512_sub_ps(_mm512_loadu_ps(scores + n), largest));
        __m512 b = coarse_power(_mm512_sub_ps(_mm512_loadu_ps(scores + n + 16), largest));
        sum = _mm512_add_ps(sum, a);
        sum2 = _mm512_add_ps(sum2, b);
        _mm512_storeu_si512(out + n, (__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
    if (rest) {
        __m512 a = _mm512_maskz_mov_ps(lower, coarse_power(_mm512_sub_ps(_mm512_loadu_ps(scores + full), largest)));
        __m512 b = _mm512_maskz_mov_ps(upper, coarse_power(_mm512_sub_ps(_mm512_loadu_ps(scores + full + 16), largest)));
        sum = _mm512_add_ps(sum, a);
        sum2 = _mm512_add_ps(sum2, b);
        _mm512_storeu_si512(out + full, (__m512i)_mm512_cvtne2ps_pbh(b, a));
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(sum, sum2));
}

/* mixed [QUERIES, head_dim] = weights [QUERIES, padded] times the packed values. */
TILES static void mix(const uint16_t *weights, const uint32_t *values, int64_t padded, int64_t head_dim, float *mixed) {
    int64_t parts = head_dim / 16;
    WRITTEN();
    for (int64_t part = 0; part < parts; part += 2) {
        clear_sums();
        for (int64_t n = 0; n < padded; n += 32) {
            const uint32_t *tile = values + (n / 32 * parts + part) * 256;
            add_step(weights + n, weights + 16 * padded + n, padded * 2, tile, tile + 256);
        }
        store_sums(mixed + part * 16, mixed + 16 * head_dim + part * 16, head_dim * 4);
    }
}
#endif

/* qkv [frames, 3 * heads * head_dim] bf16 -> out [queries, heads * head_dim] bf16: the last frames of each segment, as
   many as `query_ends` says, attend to all of it. rotary [longest, 2, head_dim / 2]: cos, sin. head_dim a multiple of
   32; scratch aligned to 64 bytes. Only where oncue_tiles_fit. */
#ifdef HAVE_TILES
TILES
#endif
EXPORT void oncue_attention(const uint16_t *qkv, const float *rotary, const int64_t *ends, const int64_t *query_ends,
                            int64_t segments, int64_t longest, int64_t heads, int64_t head_dim, uint16_t *out,
                            void *scratch) {
#ifdef HAVE_TILES
    shape_tiles(16, 16);
    int64_t most = (longest + 31) / 32 * 32, hidden = heads * head_dim, stride = 3 * hidden;
    uint32_t *keys = scratch, *values = keys + most * head_dim / 2;
    float *scores = (float *)(values + most * head_dim / 2), *mixed = scores + QUERIES * most;
    uint16_t *weights = (uint16_t *)(mixed + QUERIES * head_dim), *query = weights + QUERIES * most;
    /* Scores in powers of two, so that the softmax needs no factor. */
    __m512 scale = _mm512_set1_ps(1.44269504f / __builtin_sqrtf((float)head_dim)), one = _mm512_set1_ps(1.0f);
    int64_t begin = 0, asked = 0;
    for (int64_t segment = 0; segment < segments; segment++) {
        int64_t count = ends[segment] - begin, asking = query_ends[segment] - asked;
        int64_t padded = (count + 31) / 32 * 32, first = count - asking;
        for (int64_t head = 0; head < heads; head++) {
            const uint16_t *own = qkv + begin * stride + head * head_dim;
            pack_keys(own + hidden, stride, rotary, count, padded, head_dim, keys);
            pack_values(own + 2 * hidden, stride, count, padded, head_dim, values);
            for (int64_t block = 0; block < asking; block += QUERIES) {
                int64_t here = asking - block < QUERIES ? asking - block : QUERIES;
                for (int64_t q = 0; q < here; q++) {
                    int64_t frame = first + block + q;
                    for (int64_t i = 0; i < head_dim; i += 32) {
                        const float *cos = rotary + frame * head_dim + i / 2;
                        _mm512_storeu_si512(query + q * head_dim + i,
                                            turned(own + frame * stride + i, cos, cos + head_dim / 2, scale));
                    }
                }
                if (here < QUERIES) memset(query + here * head_dim, 0, (QUERIES - here) * head_dim * 2);
                score(query, keys, padded, head_dim, scores);
                float sums[QUERIES];
                for (int64_t q = 0; q < here; q++)
                    sums[q] = soften(scores + q * padded, count, padded, weights + q * padded);
                if (here < QUERIES) memset(weights + here * padded, 0, (QUERIES - here) * padded * 2);
                mix(weights, values, padded, head_dim, mixed);
                for (int64_t q = 0; q < here; q++) {
                    __m512 factor = _mm512_div_ps(one, _mm512_set1_ps(sums[q]));
                    uint16_t *to = out + (asked + block + q) * hidden + head * head_dim;
                    for (int64_t i = 0; i < head_dim; i += 32) {
                        __m512 a = _mm512_mul_ps(_mm512_loadu_ps(mixed + q * head_dim + i), factor);
                        __m512 b = _mm512_mul_ps(_mm512_loadu_ps(mixed + q * head_dim + i + 16), factor);
                        _mm512_storeu_si512(to + i, (__m512i)_mm512_cvtne2ps_pbh(b, a));
                    }
                }
            }
        }
        begin = ends[segment];
        asked = query_ends[segment];
    }
    _tile_release();
#else
    (void)qkv, (void)rotary, (void)ends, (void)query_ends, (void)segments, (void)longest, (void)heads, (void)head_dim;
    (void)out, (void)scratch;
#endif
}
