/* Products of a few rows with a packed matrix, and what a packed matrix is. */
#pragma once
#include "kernels.h"

#define PANEL 64 /* columns that lie together */

enum format { FLOAT32, FLOAT16, BFLOAT16, INT8 };

/* y = x W + bias. `weights`: panels of 64 columns (the last filled up with zeros), each [depth, 64]; in bf16 pairs of
   depth lie together, [depth / 2, 64, 2]. `scales`, of int8 alone, and `bias`: one number per column, filled up. */
struct matrix {
    const void *weights;
    const float *scales;
    const float *bias;
    int64_t depth;
    int64_t width;
    int64_t format;
};

static inline int64_t panels(const struct matrix *matrix) { return (matrix->width + PANEL - 1) / PANEL; }

/* x [rows, depth] -> the order in which the products read it: blocks of rows, in each of them depth comes first. */
void skinny_arrange(const float *x, int64_t rows, int64_t depth, float *arranged);

/* Arranged x, one panel -> out [rows, 64] with bias. A row's numbers do not depend on the other rows. */
void skinny_product(const struct matrix *matrix, int64_t panel, const float *x, int64_t rows, float *out);
