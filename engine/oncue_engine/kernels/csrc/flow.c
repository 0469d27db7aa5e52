/* What stands between the matrix products of the flow estimator (model/dit.py), fused so that memory is read once. */
#include "kernels.h"

/* both [rows, 2 * width] bf16, first half a, second half b -> out [rows, width] bf16: silu(a) * b. */
EXPORT void oncue_silu_gate(const uint16_t *restrict both, uint16_t *restrict out, int64_t rows, int64_t width) {
    for (int64_t row = 0; row < rows; row++) {
        const uint16_t *a = both + row * 2 * width, *b = a + width;
        uint16_t *y = out + row * width;
        for (int64_t i = 0; i < width; i++) {
            float x = from_bf16(a[i]);
            y[i] = to_bf16(x / (1.0f + fast_exp(-x)) * from_bf16(b[i]));
        }
    }
}
