/* What every kernel file shares: one exported symbol each, plain pointers, no state, no allocation, no threads.

   Each function works on contiguous memory and is called with the interpreter's lock released, so two threads may run
   kernels side by side. bf16 values are uint16_t. Callers check shapes; see native.py. */
#pragma once
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static inline float from_bf16(uint16_t value) {
    uint32_t bits = (uint32_t)value << 16;
    float out;
    memcpy(&out, &bits, 4);
    return out;
}

/* Round to nearest even, as hardware does; a NaN stays one (its quiet bit is set). */
static inline uint16_t to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    uint32_t quiet = (bits >> 16) | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

/* exp(x) to about 2e-7 relative, branch-free so that loops over it vectorise; 0 below -87, inf above 88.7; NaN stays. */
static inline float fast_exp(float x) {
    float clipped = x < -87.3f ? -87.3f : (x > 88.72f ? 88.72f : x);
    float scaled = clipped * 1.44269504088896341f;
    float whole = __builtin_rintf(scaled);
    float r = clipped - whole * 0.693359375f;
    r = r + whole * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t exponent = (int32_t)whole;
    /* Two factors, so that results near the ends of the range do not wrap. */
    int32_t half = exponent / 2;
    uint32_t a = (uint32_t)(half + 127) << 23, b = (uint32_t)(exponent - half + 127) << 23;
    float fa, fb;
    memcpy(&fa, &a, 4);
    memcpy(&fb, &b, 4);
    float out = p * fa * fb;
    return x != x ? x : (x < -87.3f ? 0.0f : out);
}
