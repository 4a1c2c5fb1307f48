#include "runner.h"

/* round(accumulator * multiplier / 2^shift), from the middle to the even integer. */
static int64_t round_shifted(int64_t product, uint8_t shift)
{
    uint64_t size = product < 0 ? (uint64_t)(-product) : (uint64_t)product;
    uint64_t whole = size >> shift;
    uint64_t rest = size - (whole << shift);
    uint64_t half = shift ? (uint64_t)1 << (shift - 1) : 0;
    if (shift && (rest > half || (rest == half && (whole & 1)))) {
        whole++;
    }
    return product < 0 ? -(int64_t)whole : (int64_t)whole;
}

static int64_t limited(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static int64_t curved(const runner_operation *op, int64_t x)
{
    x = limited(x, -RUNNER_CURVE_LIMIT, RUNNER_CURVE_LIMIT);
    int64_t ramp = limited(x + op->curve_offset, 0, op->curve_top);
    if (op->curve == RUNNER_HARD_SWISH) {
        ramp = round_shifted(x * ramp, (uint8_t)op->curve_bits);
    }
    return round_shifted(ramp * op->curve_multiplier, (uint8_t)op->curve_shift);
}

static void write_result(const runner_operation *op, int8_t *arena, int32_t index, int64_t rounded)
{
    int64_t value = op->curve ? curved(op, rounded) : rounded;
    value = limited(value + op->output_zero, op->low, op->high);
    if (op->wide) {
        /* Byte by byte: the arena is one of bytes, and need not be aligned. */
        uint32_t bits = (uint32_t)(int32_t)value;
        uint8_t *to = (uint8_t *)arena + op->output + 4 * (uint32_t)index;
        to[0] = (uint8_t)bits;
        to[1] = (uint8_t)(bits >> 8);
        to[2] = (uint8_t)(bits >> 16);
        to[3] = (uint8_t)(bits >> 24);
    } else {
        arena[op->output + (uint32_t)index] = (int8_t)value;
    }
}

static void write_scaled(
    const runner_operation *op, int8_t *arena, int32_t index, int32_t channel, int32_t accumulator)
{
    int32_t at = op->scales > 1 ? channel : 0;
    int64_t product = (int64_t)accumulator * op->multipliers[at];
    write_result(op, arena, index, round_shifted(product, op->shifts[at]));
}

/* First and last step of a window that lie inside the input. */
typedef struct {
    int32_t start, first, last;
} span;

static span span_of(
    int32_t place, int32_t stride, int32_t pad, int32_t dilation, int32_t kernel, int32_t size)
{
    span s;
    s.start = place * stride - pad;
    s.first = s.start < 0 ? (-s.start + dilation - 1) / dilation : 0;
    s.last = kernel;
    while (s.last > s.first && s.start + (s.last - 1) * dilation >= size) {
        s.last--;
    }
    return s;
}

#define BLOCK 16

/* Add one weight's share to a block of neighbouring results, where it meets the input. */
static void add_column(const runner_operation *op, const int8_t *row, int32_t column, int32_t weight,
                       int32_t block, int32_t *sums)
{
    int32_t start = column * op->dilation_width - op->pad_left;
    int32_t stride = op->stride_width;
    int32_t first = start < 0 ? (-start + stride - 1) / stride : 0;
    int32_t last = start < op->in_width ? (op->in_width - 1 - start) / stride + 1 : 0;
    first = first > block ? first - block : 0;
    last = last > block ? last - block : 0;
    last = last < BLOCK ? last : BLOCK;
    start += block * stride;
    if (stride == 1) {
        for (int32_t x = first; x < last; x++) {
            sums[x] += (row[start + x] - op->input_zero) * weight;
        }
    } else {
        for (int32_t x = first; x < last; x++) {
            sums[x] += (row[start + x * stride] - op->input_zero) * weight;
        }
    }
}

/* A block of neighbours at a time: the loop over them is one that vector units can run. */
static void run_conv(const runner_operation *op, int8_t *arena)
{
    const int8_t *input = arena + op->input;
    int32_t group_in = op->in_channels / op->groups;
    int32_t group_out = op->out_channels / op->groups;
    int32_t window = op->kernel_height * op->kernel_width;
    int32_t index = 0;
    for (int32_t c = 0; c < op->out_channels; c++) {
        const int8_t *weights = op->weights + c * group_in * window;
        const int8_t *from = input + (c / group_out) * group_in * op->in_height * op->in_width;
        int32_t zero = op->weight_zeros ? op->weight_zeros[c] : 0;
        for (int32_t y = 0; y < op->out_height; y++) {
            span rows = span_of(y, op->stride_height, op->pad_top, op->dilation_height,
                                op->kernel_height, op->in_height);
            for (int32_t block = 0; block < op->out_width; block += BLOCK) {
                int32_t sums[BLOCK];
                for (int32_t x = 0; x < BLOCK; x++) {
                    sums[x] = op->bias[c];
                }
                for (int32_t i = 0; i < group_in; i++) {
                    for (int32_t ky = rows.first; ky < rows.last; ky++) {
                        int32_t row = i * op->in_height + rows.start + ky * op->dilation_height;
                        const int8_t *w = weights + i * window + ky * op->kernel_width;
                        for (int32_t kx = 0; kx < op->kernel_width; kx++) {
                            add_column(op, from + row * op->in_width, kx, w[kx] - zero, block, sums);
                        }
                    }
                }
                for (int32_t x = 0; x < BLOCK && block + x < op->out_width; x++) {
                    write_scaled(op, arena, index++, c, sums[x]);
                }
            }
        }
    }
}

static void run_linear(const runner_operation *op, int8_t *arena)
{
    const int8_t *input = arena + op->input;
    for (int32_t c = 0; c < op->out_channels; c++) {
        const int8_t *weights = op->weights + c * op->in_channels;
        int32_t zero = op->weight_zeros ? op->weight_zeros[c] : 0;
        int32_t sum = op->bias[c];
        for (int32_t i = 0; i < op->in_channels; i++) {
            sum += (input[i] - op->input_zero) * (weights[i] - zero);
        }
        write_scaled(op, arena, c, c, sum);
    }
}

static void run_add(const runner_operation *op, int8_t *arena)
{
    for (int32_t i = 0; i < op->count; i++) {
        int64_t first = arena[op->input + (uint32_t)i] - op->input_zero;
        int64_t second = arena[op->other + (uint32_t)i] - op->other_zero;
        /* Both on one finer scale, rounded once. */
        int64_t sum = first * op->multipliers[0] + second * op->multipliers[1];
        write_result(op, arena, i, round_shifted(sum, op->shifts[0]));
    }
}

static void run_mul(const runner_operation *op, int8_t *arena)
{
    for (int32_t i = 0; i < op->count; i++) {
        int32_t first = arena[op->input + (uint32_t)i] - op->input_zero;
        int32_t second = arena[op->other + (uint32_t)(i / op->repeat)] - op->other_zero;
        write_scaled(op, arena, i, 0, first * second);
    }
}

static void run_pool(const runner_operation *op, int8_t *arena, int is_max)
{
    const int8_t *input = arena + op->input;
    int32_t index = 0;
    for (int32_t c = 0; c < op->out_channels; c++) {
        const int8_t *from = input + c * op->in_height * op->in_width;
        for (int32_t y = 0; y < op->out_height; y++) {
            span rows = span_of(y, op->stride_height, op->pad_top, op->dilation_height,
                                op->kernel_height, op->in_height);
            for (int32_t x = 0; x < op->out_width; x++) {
                span columns = span_of(x, op->stride_width, op->pad_left, op->dilation_width,
                                       op->kernel_width, op->in_width);
                int32_t largest = INT8_MIN;
                int32_t sum = 0;
                for (int32_t ky = rows.first; ky < rows.last; ky++) {
                    int32_t row = rows.start + ky * op->dilation_height;
                    for (int32_t kx = columns.first; kx < columns.last; kx++) {
                        int32_t column = columns.start + kx * op->dilation_width;
                        int32_t value = from[row * op->in_width + column];
                        sum += value - op->input_zero;
                        if (value > largest) {
                            largest = value;
                        }
                    }
                }
                write_scaled(op, arena, index++, c, is_max ? largest - op->input_zero : sum);
            }
        }
    }
}

static void run_rescale(const runner_operation *op, int8_t *arena)
{
    for (int32_t i = 0; i < op->count; i++) {
        write_scaled(op, arena, i, 0, arena[op->input + (uint32_t)i] - op->input_zero);
    }
}

static void run_select(const runner_operation *op, int8_t *arena)
{
    const int8_t *input = arena + op->input;
    int32_t index = 0;
    for (int32_t c = 0; c < op->out_channels; c++) {
        for (int32_t y = 0; y < op->out_height; y++) {
            int32_t row = op->source[c] * op->in_height + y * op->stride_height;
            for (int32_t x = 0; x < op->out_width; x++) {
                int32_t value = 0;
                if (op->source[c] >= 0) {
                    value = input[row * op->in_width + x * op->stride_width] - op->input_zero;
                }
                write_scaled(op, arena, index++, 0, value);
            }
        }
    }
}

void runner_run(const runner_operation *operations, uint32_t count, int8_t *arena)
{
    for (uint32_t i = 0; i < count; i++) {
        const runner_operation *op = &operations[i];
        switch (op->kind) {
        case RUNNER_CONV: run_conv(op, arena); break;
        case RUNNER_LINEAR: run_linear(op, arena); break;
        case RUNNER_ADD: run_add(op, arena); break;
        case RUNNER_MUL: run_mul(op, arena); break;
        case RUNNER_MAX_POOL: run_pool(op, arena, 1); break;
        case RUNNER_AVERAGE_POOL: run_pool(op, arena, 0); break;
        case RUNNER_RESCALE: run_rescale(op, arena); break;
        case RUNNER_SELECT: run_select(op, arena); break;
        }
    }
}

int32_t runner_result(const int8_t *result, int32_t index)
{
    const uint8_t *from = (const uint8_t *)result + 4 * (uint32_t)index;
    uint32_t bits = from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16
                    | (uint32_t)from[3] << 24;
    return bits > INT32_MAX ? -(int32_t)(UINT32_MAX - bits) - 1 : (int32_t)bits;
}
