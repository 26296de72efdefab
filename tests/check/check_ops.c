// SPDX-License-Identifier: MIT
// Every kernel of the vector ops against the formula in double, over shapes around the edges of its tiles. Inputs are padded with
// NaN and outputs with a canary, so that reading or writing past an edge shows.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/activation/activation.h"
#include "kernels/kernel.h"
#include "kernels/norm/norm.h"
#include "kernels/rope/rope.h"
#include "kernels/softmax/softmax.h"

static uint64_t state;

static double uniform(void) // −1 … 1
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(state >> 11) / (double)(1LL << 52) - 1.0;
}

static const float canary = 12345.678f;
enum { PAD = 32 };

// `count` values behind and before PAD that must not be touched. The caller frees what `unpadded` was given.
static float *padded(size_t count, float with)
{
    float *buffer = malloc((count + 2 * PAD) * sizeof(float));
    assert_non_null(buffer);
    for (size_t i = 0; i < count + 2 * PAD; i++)
        buffer[i] = with;
    return buffer + PAD;
}

static float *random_input(size_t count, double scale)
{
    float *x = padded(count, NAN);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)(uniform() * scale);
    return x;
}

static void release(float *x)
{
    free(x - PAD);
}

static void check_canaries(const struct kernel *kernel, const float *y, size_t count)
{
    for (int i = 1; i <= PAD; i++)
        if (y[-i] != canary || y[count + (size_t)i - 1] != canary)
            fail_msg("%s wrote outside of its output of %zu", kernel->name, count);
}

static void check_close(const struct kernel *kernel, const char *shape, size_t index, double got, double want, double tolerance)
{
    const double error = fabs(got - want);
    if (!(error <= tolerance))
        fail_msg("%s %s: [%zu] is %.9g, the reference says %.9g (error %.3g, tolerance %.3g)", kernel->name, shape, index, got, want, error,
                 tolerance);
}

// Runs check for every kernel of the op that this machine can execute.
static void each_kernel(enum op op, void (*check)(const struct kernel *))
{
    size_t count;
    const struct kernel *const *all = kernel_all(&count);
    int checked = 0;
    for (size_t i = 0; i < count; i++)
        if (all[i]->op == op && all[i]->isa <= isa_detect()) {
            check(all[i]);
            checked++;
        }
    assert_true(checked > 0);
    assert_non_null(kernel_pick(op));
    assert_int_equal(kernel_pick(op)->op, op);
}

static void check_rmsnorm(const struct kernel *kernel)
{
    static const int sizes[] = { 1, 7, 8, 15, 16, 17, 31, 32, 33, 47, 64, 256, 1000 };
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        const int columns = sizes[s], rows = 3, stride = columns + 5;
        float *x = random_input((size_t)(rows * stride), 3), *weight = random_input((size_t)columns, 2);
        float *y = padded((size_t)(rows * stride), canary);
        const struct rmsnorm_call call = { x, weight, y, (size_t)stride, (size_t)stride, rows, columns, 1e-5f };
        ((rmsnorm_function *)kernel->function)(&call);
        check_canaries(kernel, y, (size_t)(rows * stride));
        for (int i = 0; i < rows; i++) {
            double squares = 0;
            for (int j = 0; j < columns; j++)
                squares += (double)x[i * stride + j] * (double)x[i * stride + j];
            const double factor = 1 / sqrt(squares / columns + 1e-5);
            char shape[64];
            snprintf(shape, sizeof(shape), "row %d of %d columns", i, columns);
            for (int j = 0; j < columns; j++) {
                const double want = (double)x[i * stride + j] * factor * (double)weight[j];
                check_close(kernel, shape, (size_t)j, (double)y[i * stride + j], want, 1e-6 * fabs(want) + 1e-30);
            }
            for (int j = columns; j < stride; j++)
                assert_true(y[i * stride + j] == canary);
        }
        release(x), release(weight), release(y);
    }
}

static void check_rope(const struct kernel *kernel)
{
    static const int sizes[] = { 16, 32, 48, 64, 80, 96, 128, 256 };
    for (int interleaved = 0; interleaved < 2; interleaved++)
        for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
            const int head_dim = sizes[s], half = head_dim / 2, heads = 3;
            float *x = padded((size_t)(heads * head_dim), canary), *before = random_input((size_t)(heads * head_dim), 2);
            memcpy(x, before, (size_t)(heads * head_dim) * sizeof(float));
            float *cosines = random_input((size_t)half, 1), *sines = random_input((size_t)half, 1);
            for (int i = 0; i < half; i++) {
                const double angle = 3 * uniform();
                cosines[i] = (float)cos(angle), sines[i] = (float)sin(angle);
            }
            const struct rope_call call = { x, cosines, sines, heads, head_dim, interleaved != 0 };
            ((rope_function *)kernel->function)(&call);
            check_canaries(kernel, x, (size_t)(heads * head_dim));
            for (int head = 0; head < heads; head++)
                for (int i = 0; i < half; i++) {
                    const int first = head * head_dim + (interleaved ? 2 * i : i);
                    const int second = interleaved ? first + 1 : first + half;
                    const double a = (double)before[first], b = (double)before[second], c = (double)cosines[i], n = (double)sines[i];
                    const char *shape = interleaved ? "interleaved" : "halves";
                    check_close(kernel, shape, (size_t)first, (double)x[first], a * c - b * n, 5e-7);
                    check_close(kernel, shape, (size_t)second, (double)x[second], a * n + b * c, 5e-7);
                }
            release(x), release(before), release(cosines), release(sines);
        }
}

static void check_swiglu(const struct kernel *kernel)
{
    static const int sizes[] = { 1, 7, 8, 9, 15, 16, 17, 33, 300 };
    for (size_t s = 0; s < 2 * sizeof(sizes) / sizeof(*sizes); s++) {
        const bool gelu = s % 2 != 0;
        const int columns = sizes[s / 2], rows = 2, stride = columns + 3;
        float *gate = random_input((size_t)(rows * stride), s / 2 % 2 ? 100 : 4), *up = random_input((size_t)(rows * stride), 2);
        float *y = padded((size_t)(rows * stride), canary);
        const struct swiglu_call call = { gate, up, y, (size_t)stride, rows, columns, gelu };
        ((swiglu_function *)kernel->function)(&call);
        check_canaries(kernel, y, (size_t)(rows * stride));
        for (int i = 0; i < rows * stride; i++) {
            if (i % stride >= columns) {
                assert_true(y[i] == canary);
                continue;
            }
            const double g = (double)gate[i], slope = gelu ? 2 * sqrt(2 / M_PI) * (g + 0.044715 * g * g * g) : g;
            const double want = g / (1 + exp(-slope)) * (double)up[i];
            // in the tail of GELU an error of the exponent, which is some ε of it, is an error of the result
            const double tail = gelu && slope < 0 ? 3e-7 * fmin(-slope, 90) : 0;
            check_close(kernel, gelu ? "geglu" : "swiglu", (size_t)i, (double)y[i], want, (6e-7 + tail) * fabs(want) + 1e-35);
        }
        release(gate), release(up), release(y);
    }
}

static void check_softmax(const struct kernel *kernel)
{
    static const int sizes[] = { 1, 5, 8, 15, 16, 17, 64, 1000, 4096 };
    for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++) {
        const int count = sizes[s];
        float *x = random_input((size_t)count, 20), *y = padded((size_t)count, canary);
        struct softmax_call call = { .x = x, .y = y, .count = count, .log_sum_exp = NAN };
        ((softmax_function *)kernel->function)(&call);
        check_canaries(kernel, y, (size_t)count);
        double largest = -INFINITY, sum = 0;
        for (int j = 0; j < count; j++)
            largest = fmax(largest, (double)x[j]);
        for (int j = 0; j < count; j++)
            sum += exp((double)x[j] - largest);
        for (int j = 0; j < count; j++) {
            const double want = exp((double)x[j] - largest) / sum;
            // x − max is rounded to f32 before it is exponentiated
            const double tolerance = (5e-7 + 0x1p-24 * (largest - (double)x[j])) * want + 1e-30;
            check_close(kernel, "softmax", (size_t)j, (double)y[j], want, tolerance);
        }
        check_close(kernel, "log_sum_exp", 0, call.log_sum_exp, largest + log(sum), 5e-7);
        // what is not finite must not look like a number
        x[count / 2] = NAN;
        ((softmax_function *)kernel->function)(&call);
        if (!isnan(call.log_sum_exp))
            fail_msg("%s hides a NaN", kernel->name);
        x[count / 2] = INFINITY;
        ((softmax_function *)kernel->function)(&call);
        if (!isnan(call.log_sum_exp))
            fail_msg("%s hides an infinity", kernel->name);
        release(x), release(y);
    }
}

static void test_rmsnorm(void **unused)
{
    (void)unused;
    each_kernel(OP_RMSNORM, check_rmsnorm);
}

static void test_rope(void **unused)
{
    (void)unused;
    each_kernel(OP_ROPE, check_rope);
}

static void test_swiglu(void **unused)
{
    (void)unused;
    each_kernel(OP_SWIGLU, check_swiglu);
}

static void test_softmax(void **unused)
{
    (void)unused;
    each_kernel(OP_SOFTMAX, check_softmax);
}

int main(int argc, char **argv)
{
    state = argc > 1 ? strtoull(argv[1], NULL, 0) : 20240607u;
    printf("seed %llu\n", (unsigned long long)state);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rmsnorm), cmocka_unit_test(test_rope),      cmocka_unit_test(test_swiglu),
        cmocka_unit_test(test_softmax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
