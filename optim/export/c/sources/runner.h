/*
 * Integer inference in plain C99: no allocation, no floating point, nothing of libc but stdint.h.
 *
 * A model is an array of operations (model.h). Activations are signed bytes in one static arena,
 * channels first; every operation reads and writes at fixed offsets. Weights, biases and scales are
 * constant arrays, which a linker puts into flash.
 *
 * Real numbers: value = scale * (integer - zero). An accumulator becomes a result by
 *
 *     result = zero + round(accumulator * multiplier / 2^shift), limited to low..high
 *
 * with a multiplier of 31 bits. The product is exact in 64 bits; round() goes to the nearest integer
 * and from the middle to the even one, as ONNX defines it. Functions that only clip (ReLU, ReLU6)
 * are part of low..high. Where there is a curve, multiplier and shift make a fixed-point number x with
 * curve_bits behind the point of the accumulator, and the result is
 *
 *     ramp = x + curve_offset, limited to 0..curve_top             (hard sigmoid)
 *     ramp = round(x * ramp / 2^curve_bits)                        (hard swish besides)
 *     result = zero + round(ramp * curve_multiplier / 2^curve_shift)
 *
 * Multipliers are within 2^-31 of the real factor, so that a result can
 * differ from one computed in floating point only where that lies next to a middle, and by one.
 */
#ifndef RUNNER_H
#define RUNNER_H

#include <stdint.h>

typedef enum {
    RUNNER_CONV,         /* sum over a window and the channels of a group; depthwise, pointwise too */
    RUNNER_LINEAR,       /* matrix times vector */
    RUNNER_ADD,          /* sum of two activations of one size; may write over either */
    RUNNER_MUL,          /* product of two activations, or with a number for each channel */
    RUNNER_MAX_POOL,     /* largest of a window; padding does not count */
    RUNNER_AVERAGE_POOL, /* mean of a window; padding counts as 0.0 */
    RUNNER_RESCALE,      /* the same numbers on another grid; may write over its input */
    RUNNER_SELECT        /* channels copied at a stride, or 0.0: the parameter-free shortcut */
} runner_kind;

#define RUNNER_HARD_SIGMOID 1
#define RUNNER_HARD_SWISH 2
#define RUNNER_CURVE_LIMIT ((int64_t)1 << 26) /* arguments beyond give the least or highest result */

typedef struct {
    runner_kind kind;
    uint32_t input, other, output; /* offsets in the arena, in bytes */
    int32_t count;                 /* of numbers, where there are no channels */
    int32_t repeat;                /* results in a row that are multiplied by the same number */
    int32_t in_channels, in_height, in_width;
    int32_t out_channels, out_height, out_width;
    int32_t kernel_height, kernel_width, stride_height, stride_width;
    int32_t pad_top, pad_left, dilation_height, dilation_width, groups;
    int32_t input_zero, other_zero, output_zero, low, high;
    int32_t curve;               /* RUNNER_HARD_SIGMOID, RUNNER_HARD_SWISH, or 0 for none */
    int32_t curve_bits, curve_offset, curve_top, curve_multiplier, curve_shift;
    int32_t wide;                /* results are int32 instead of int8 */
    int32_t scales;              /* how many multipliers and shifts: one, two, or one a channel */
    const int32_t *multipliers;
    const uint8_t *shifts;       /* 0 to 62 */
    const int8_t *weights;       /* (out_channels, in_channels / groups, height, width) */
    const int8_t *weight_zeros;  /* one a channel, or 0 if all are 0 */
    const int32_t *bias;         /* one a channel */
    const int16_t *source;       /* channel that is copied, -1 for 0.0 */
} runner_operation;

/* Compute `count` operations one after another in the arena. */
void runner_run(const runner_operation *operations, uint32_t count, int8_t *arena);

/* Return one int32 of a wide result that begins at `result`. */
int32_t runner_result(const int8_t *result, int32_t index);

#endif
