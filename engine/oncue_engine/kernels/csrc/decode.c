/* One step of the autoregressive backbone (model/gpt.py) for all rows of a batch, in one call.

   Several threads may run the same step: each calls with a number of its own and takes the next piece of work (64
   columns of a product; one row's head of attention) until the phase has none left. Who takes which does not change a
   number. A thread that comes late or never holds nobody up. */
#include "skinny.h"

#include <math.h>
#include <sched.h>

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
    float *x;      /* [rows, M]: what enters; overwritten */
    float *latent; /* [rows, M] */
    float *logits; /* [rows, V] */
    float *qkv;    /* [rows, 3M] */
    float *attended; /* [rows, M] */
    float *hidden;   /* [rows, 4M] */
    float *own;      /* per thread [rows, M + 64] and [capacity] */
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
static void run_product(const struct step *step, struct gate *gate, const struct matrix *matrix, const float *in,
                        float *out, enum after after, float *panel_out) {
    int64_t pieces = panels(matrix), rows = step->rows;
    for (int64_t panel; (panel = take(gate)) < pieces; finish(gate)) {
        skinny_product(matrix, panel, in, rows, panel_out);
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

static inline float read(const void *cache, int64_t at, const int is_bf16) {
    return is_bf16 ? from_bf16(((const uint16_t *)cache)[at]) : ((const float *)cache)[at];
}

static inline void write(void *cache, int64_t at, float value, const int is_bf16) {
    if (is_bf16)
        ((uint16_t *)cache)[at] = to_bf16(value);
    else
        ((float *)cache)[at] = value;
}

/* One query over positions 0..length of one head; the new key and value are written first, at `length`. `begin` is
   where the head's positions begin in both caches. */
static inline __attribute__((always_inline)) void attend(const float *q, const float *k, const float *v, void *keys,
                                                         void *values, int64_t begin, int64_t length, const int64_t dim,
                                                         const int is_bf16, float *scores, float *out) {
    for (int64_t i = 0; i < dim; i++) {
        write(keys, begin + length * dim + i, k[i], is_bf16);
        write(values, begin + length * dim + i, v[i], is_bf16);
        out[i] = 0.0f;
    }
    float scale = 1.0f / sqrtf((float)dim), most = -INFINITY, sum = 0.0f;
    for (int64_t p = 0; p <= length; p++) {
        float dot = 0.0f;
        for (int64_t i = 0; i < dim; i++) dot += q[i] * read(keys, begin + p * dim + i, is_bf16);
        scores[p] = dot * scale;
    }
    for (int64_t p = 0; p <= length; p++) most = scores[p] > most ? scores[p] : most;
    for (int64_t p = 0; p <= length; p++) {
        scores[p] = fast_exp(scores[p] - most);
        sum += scores[p];
    }
    for (int64_t p = 0; p <= length; p++)
        for (int64_t i = 0; i < dim; i++) out[i] += scores[p] * read(values, begin + p * dim + i, is_bf16);
    for (int64_t i = 0; i < dim; i++) out[i] /= sum;
}

static void run_attention(const struct backbone *net, const struct step *step, struct gate *gate, int64_t layer,
                          float *scores) {
    int64_t heads = net->heads, dim = net->head_dim, width = net->width, pieces = step->rows * heads;
    for (int64_t piece; (piece = take(gate)) < pieces; finish(gate)) {
        int64_t row = piece / heads, head = piece % heads;
        int64_t begin = ((layer * step->cache_slots + step->slots[row]) * heads + head) * step->capacity * dim;
        const float *q = step->qkv + row * 3 * width + head * dim;
        float *out = step->attended + row * width + head * dim;
        void *keys = step->keys, *values = step->values;
        int64_t length = step->lengths[row];
        if (dim == 64 && step->cache_is_bf16)
            attend(q, q + width, q + 2 * width, keys, values, begin, length, 64, 1, scores, out);
        else if (dim == 64)
            attend(q, q + width, q + 2 * width, keys, values, begin, length, 64, 0, scores, out);
        else if (step->cache_is_bf16)
            attend(q, q + width, q + 2 * width, keys, values, begin, length, dim, 1, scores, out);
        else
            attend(q, q + width, q + 2 * width, keys, values, begin, length, dim, 0, scores, out);
    }
    wait_for(gate, pieces);
}

/* `thread`: 0 for the caller, who alone writes the latent; 1, 2, ... for those who help. */
EXPORT void oncue_decode_step(const struct backbone *net, const struct step *step, int64_t thread) {
    int64_t rows = step->rows, width = net->width;
    float *normed = step->own + thread * (rows * (width + PANEL) + step->capacity);
    float *panel_out = normed + rows * width, *scores = panel_out + rows * PANEL;
    struct gate *gate = step->gates;
    for (int64_t index = 0; index < net->layers; index++) {
        const struct layer *layer = net->layer + index;
        layer_norm(step->x, &layer->norm_1, rows, width, normed);
        run_product(step, gate++, &layer->qkv, normed, step->qkv, STORE, panel_out);
        run_attention(net, step, gate++, index, scores);
        run_product(step, gate++, &layer->out, step->attended, step->x, ADD, panel_out);
        layer_norm(step->x, &layer->norm_2, rows, width, normed);
        run_product(step, gate++, &layer->up, normed, step->hidden, WIDEN, panel_out);
        run_product(step, gate++, &layer->down, step->hidden, step->x, ADD, panel_out);
    }
    layer_norm(step->x, &net->last_norm, rows, width, normed);
    layer_norm(normed, &net->latent_norm, rows, width, normed);
    if (thread == 0) memcpy(step->latent, normed, (size_t)(rows * width) * sizeof(float));
    run_product(step, gate, &net->head, normed, step->logits, STORE, panel_out);
}
