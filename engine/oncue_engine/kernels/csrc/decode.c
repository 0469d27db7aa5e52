/* One step of the autoregressive backbone (model/gpt.py) for all rows of a batch, or a whole prefix, in one call.

   Several threads may run the same step: each calls with a number of its own and takes the next piece of work (64
   columns of a product; one row's head of attention) until the phase has none left. Who takes which does not change a
   number. A thread that comes late or never holds nobody up. */
#include "skinny.h"

#include <math.h>
#include <sched.h>

#define MOST_BLOCKS 8 /* of 16 numbers: heads of up to 128 */

struct norm {
    const float *weight;
    const float *bias;
};

struct layer {
    struct norm norm_1;
    struct matrix qkv;
    struct matrix out;
    struct norm norm_2;
    struct matrix up;
    struct matrix down;
};

/* Pieces of one phase: how many are taken, how many are done. */
struct gate {
    int64_t taken;
    int64_t done;
};

struct backbone {
    int64_t layers;
    int64_t width;
    int64_t heads;
    int64_t head_dim;
    const struct layer *layer;
    struct norm last_norm;  /* the backbone's own */
    struct norm latent_norm; /* the one after it */
    struct matrix head;
};

struct step {
    int64_t rows;
    const int64_t *slots;
    const int64_t *lengths;
    void *keys; /* [layers, slots, heads, capacity, head_dim] */
    void *values;
    int64_t cache_slots;
    int64_t capacity;
    int64_t cache_is_bf16;
    int64_t is_prefix; /* the rows are one sequence's, in order; latent and logits are the last one's */
    float *x;      /* [rows, M]: what enters; overwritten */
    float *latent; /* [rows, M] */
    float *logits; /* [rows, V] */
    float *qkv;    /* [rows, 3M] */
    float *attended; /* [rows, M] */
    float *hidden;   /* [rows, 4M] */
    float *own;      /* per thread [capacity + rows (5M + 64)] */
    struct gate *gates; /* 5 per layer and 1, all zero */
};

static int64_t take(struct gate *gate) { return __atomic_fetch_add(&gate->taken, 1, __ATOMIC_RELAXED); }

static void finish(struct gate *gate) { __atomic_fetch_add(&gate->done, 1, __ATOMIC_RELEASE); }

static void wait_for(struct gate *gate, int64_t pieces) {
    for (int64_t spins = 0; __atomic_load_n(&gate->done, __ATOMIC_ACQUIRE) < pieces; spins++)
        if (spins > 2000) sched_yield();
}

static void layer_norm(const float *x, const struct norm *norm, int64_t rows, int64_t width, float *out) {
    for (int64_t r = 0; r < rows; r++, x += width, out += width) {
        float sum = 0.0f, squares = 0.0f;
        for (int64_t i = 0; i < width; i++) sum += x[i];
        float mean = sum / (float)width;
        for (int64_t i = 0; i < width; i++) squares += (x[i] - mean) * (x[i] - mean);
        float scale = 1.0f / sqrtf(squares / (float)width + 1e-5f);
        for (int64_t i = 0; i < width; i++) out[i] = (x[i] - mean) * scale * norm->weight[i] + norm->bias[i];
    }
}

/* tanh form of GELU: x (1 + tanh(u)) / 2 = x / (1 + exp(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3). */
static void gelu(float *x, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        float u = 0.7978845608028654f * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
        x[i] = x[i] / (1.0f + fast_exp(-2.0f * u));
    }
}

enum after { STORE, WIDEN, ADD };

/* One phase: `in` [rows, depth] times the matrix -> `out` [rows, width], stored, put through GELU, or added. */
static void run_product(struct gate *gate, const struct matrix *matrix, const float *in, int64_t rows, float *out,
                        enum after after, float *panel_out) {
    int64_t pieces = panels(matrix);
    float *arranged = panel_out + rows * PANEL;
    if (rows > 1)
        skinny_arrange(in, rows, matrix->depth, arranged);
    const float *x = rows > 1 ? arranged : in;
    for (int64_t panel; (panel = take(gate)) < pieces; finish(gate)) {
        skinny_product(matrix, panel, x, rows, panel_out);
        if (after == WIDEN) gelu(panel_out, rows * PANEL);
        int64_t begin = panel * PANEL;
        int64_t count = matrix->width - begin < PANEL ? matrix->width - begin : PANEL;
        for (int64_t r = 0; r < rows; r++) {
            float *y = out + r * matrix->width + begin;
            const float *p = panel_out + r * PANEL;
            for (int64_t i = 0; i < count; i++) y[i] = after == ADD ? y[i] + p[i] : p[i];
        }
    }
    wait_for(gate, pieces);
}

typedef float lanes __attribute__((vector_size(64)));
typedef uint16_t halves __attribute__((vector_size(32)));
typedef uint32_t wide __attribute__((vector_size(64)));

#define INLINE static inline __attribute__((always_inline))

/* 16 numbers of the cache, from number `at` on. */
INLINE void read(const void *cache, int64_t at, const int is_bf16, lanes *out) {
    if (is_bf16) {
        halves packed;
        memcpy(&packed, (const uint16_t *)cache + at, sizeof packed);
        *out = (lanes)(__builtin_convertvector(packed, wide) << 16);
    } else
        memcpy(out, (const float *)cache + at, sizeof *out);
}

/* Sum of the 16, in halves: one by one they would cost more than the products. */
INLINE float total(const lanes *parts) {
    typedef int32_t order __attribute__((vector_size(64)));
    lanes x = *parts;
    x += __builtin_shuffle(x, (order){8, 9, 10, 11, 12, 13, 14, 15});
    x += __builtin_shuffle(x, (order){4, 5, 6, 7});
    x += __builtin_shuffle(x, (order){2, 3});
    return x[0] + x[1];
}

INLINE void write(void *cache, int64_t at, float value, const int is_bf16) {
    if (is_bf16)
        ((uint16_t *)cache)[at] = to_bf16(value);
    else
        ((float *)cache)[at] = value;
}

/* One query over positions 0..last of one head, whose positions begin at `begin` in both caches. `blocks`: of 16
   numbers of a head; a constant, where it can be. */
INLINE void attend(const float *q, const void *keys, const void *values, int64_t begin, int64_t last, const int blocks,
                   const int is_bf16, float *scores, float *out) {
    lanes query[MOST_BLOCKS], sums[MOST_BLOCKS];
    for (int b = 0; b < blocks; b++) {
        memcpy(&query[b], q + 16 * b, sizeof(lanes));
        sums[b] = (lanes){0};
    }
    int64_t dim = 16 * blocks;
    float scale = 1.0f / sqrtf((float)dim), most = -INFINITY, sum = 0.0f;
    for (int64_t p = 0; p <= last; p++) {
        lanes products = {0}, key;
        for (int b = 0; b < blocks; b++) {
            read(keys, begin + p * dim + 16 * b, is_bf16, &key);
            products += query[b] * key;
        }
        scores[p] = total(&products) * scale;
    }
    for (int64_t p = 0; p <= last; p++) most = scores[p] > most ? scores[p] : most;
    for (int64_t p = 0; p <= last; p++) scores[p] = fast_exp(scores[p] - most);
    for (int64_t p = 0; p <= last; p++) sum += scores[p];
    for (int64_t p = 0; p <= last; p++)
        for (int b = 0; b < blocks; b++) {
            lanes value;
            read(values, begin + p * dim + 16 * b, is_bf16, &value);
            sums[b] += scores[p] * value;
        }
    for (int b = 0; b < blocks; b++) {
        lanes mean = sums[b] / sum;
        memcpy(out + 16 * b, &mean, sizeof mean);
    }
}

/* One row's head: its new key and value are written, then it attends, if anyone wants to know. */
static void run_head(const struct backbone *net, const struct step *step, int64_t layer, int64_t row, int64_t head,
                     int wanted, float *scores) {
    int64_t dim = net->head_dim, width = net->width, last = step->lengths[row];
    int64_t begin = ((layer * step->cache_slots + step->slots[row]) * net->heads + head) * step->capacity * dim;
    const float *q = step->qkv + row * 3 * width + head * dim, *k = q + width, *v = k + width;
    int is_bf16 = step->cache_is_bf16 != 0;
    for (int64_t i = 0; i < dim; i++) {
        write(step->keys, begin + last * dim + i, k[i], is_bf16);
        write(step->values, begin + last * dim + i, v[i], is_bf16);
    }
    float *out = step->attended + row * width + head * dim;
    if (!wanted) return;
    if (dim == 64 && is_bf16)
        attend(q, step->keys, step->values, begin, last, 4, 1, scores, out);
    else if (dim == 64)
        attend(q, step->keys, step->values, begin, last, 4, 0, scores, out);
    else if (is_bf16)
        attend(q, step->keys, step->values, begin, last, (int)(dim / 16), 1, scores, out);
    else
        attend(q, step->keys, step->values, begin, last, (int)(dim / 16), 0, scores, out);
}

/* Rows of different sequences are pieces of their own. Those of one sequence stand in order, each seeing the ones
   before it, so that a head is one piece; of the last layer only the last row is wanted. */
static void run_attention(const struct backbone *net, const struct step *step, struct gate *gate, int64_t layer,
                          float *scores) {
    int64_t heads = net->heads, rows = step->rows, pieces = step->is_prefix ? heads : rows * heads;
    int last_only = step->is_prefix && layer == net->layers - 1;
    for (int64_t piece; (piece = take(gate)) < pieces; finish(gate)) {
        if (!step->is_prefix)
            run_head(net, step, layer, piece / heads, piece % heads, 1, scores);
        else
            for (int64_t row = 0; row < rows; row++)
                run_head(net, step, layer, row, piece, !last_only || row == rows - 1, scores);
    }
    wait_for(gate, pieces);
}

/* `thread`: 0 for the caller, who alone writes the latent; 1, 2, ... for those who help. */
EXPORT void oncue_decode_step(const struct backbone *net, const struct step *step, int64_t thread) {
    int64_t rows = step->rows, width = net->width, first = step->is_prefix ? rows - 1 : 0;
    float *scores = step->own + thread * (step->capacity + rows * (5 * width + PANEL));
    float *normed = scores + step->capacity, *panel_out = normed + rows * width;
    float *x = step->x, *attended = step->attended;
    struct gate *gate = step->gates;
    for (int64_t index = 0; index < net->layers; index++) {
        const struct layer *layer = net->layer + index;
        layer_norm(x, &layer->norm_1, rows, width, normed);
        run_product(gate++, &layer->qkv, normed, rows, step->qkv, STORE, panel_out);
        run_attention(net, step, gate++, index, scores);
        if (index == net->layers - 1) { /* from here on a prefix is its last row */
            x += first * width;
            attended += first * width;
            rows -= first;
        }
        run_product(gate++, &layer->out, attended, rows, x, ADD, panel_out);
        layer_norm(x, &layer->norm_2, rows, width, normed);
        run_product(gate++, &layer->up, normed, rows, step->hidden, WIDEN, panel_out);
        run_product(gate++, &layer->down, step->hidden, rows, x, ADD, panel_out);
    }
    layer_norm(x, &net->last_norm, rows, width, normed);
    layer_norm(normed, &net->latent_norm, rows, width, normed);
    if (thread == 0) memcpy(step->latent, normed, (size_t)(rows * width) * sizeof(float));
    run_product(gate, &net->head, normed, rows, step->logits, STORE, panel_out);
}
