// SPDX-License-Identifier: MIT
// What an op says of itself, so that all its kernels are checked and timed without a further line: its reference, the shapes that
// matter, a problem from a seed, its operations and bytes. `llmsweep kernels --check` and `--bench` and tests/check/ read nothing else.
#ifndef LLMSWEEP_OP_H
#define LLMSWEEP_OP_H

#include "kernels/kernel.h"

// The arithmetic whose peak bounds a kernel. Products of 16-bit integers have half the rate of 8-bit ones where both have instructions.
enum op_arithmetic { ARITHMETIC_F32, ARITHMETIC_BF16, ARITHMETIC_INT16, ARITHMETIC_INT8 };

// A problem that is ready to be timed: inputs, outputs, scratch for any number of parts. The op's own.
struct op_problem;

struct op_descriptor {
    enum op op;
    const char *name; // "attention"

    // Checks a kernel against a scalar reference that accumulates in double, over shapes around the edges of its tiles, with inputs
    // between NaNs and outputs between canaries. 0 and the number of comparisons; -EIO with the case, the seed and the first
    // difference; -EINVAL when the kernel is above isa_detect(); -ENOMEM.
    int (*check)(const struct kernel *kernel, uint64_t seed, size_t *comparisons, char *message, size_t message_size);

    // Words of the shapes to be timed, NULL behind the last: "decode q32 kv8 d128 n16384". The first is of a decode step and the last of
    // prefill: a quick benchmark takes just these. setup takes any word of that form.
    const char *const *shapes;
    // A problem of that shape for this kernel, drawn from the seed. What a call reads most of (a cache, rows, weights) is there
    // `copies` times over, so that a caller who takes them in turn reads from memory. -EINVAL with a reason for a word that does not
    // read or a shape that the kernel does not compute, -ENOMEM. The caller frees it.
    int (*setup)(const struct kernel *kernel, const char *shape, int copies, uint64_t seed, struct op_problem **problem, char *error,
                 size_t error_size);
    void (*free)(struct op_problem *problem);
    // One part of a run on one of the copies: threads of 0 … parts − 1 run the parts at the same time, and meet at a barrier between
    // the phases 0 … phases − 1 and behind the last.
    int phases;
    void (*run)(struct op_problem *problem, int copy, int phase, int part, int parts);
    // Of a whole run: arithmetic operations (a multiplication and an addition are two), and the bytes that it has to move, each once.
    double (*operations)(const struct op_problem *problem);
    double (*bytes)(const struct op_problem *problem);
    enum op_arithmetic (*arithmetic)(const struct kernel *kernel);
};

// NULL where an op has none.
const struct op_descriptor *op_find(enum op op);

// ---------------------------------------------------------------------------------------------------------------------
// For the descriptors themselves.

// −1 … 1, from a state that is any number at first.
double op_uniform(uint64_t *state);
// `count` floats between −scale and scale, with 32 NaNs before and behind; `count` canaries, with 32 more before and behind. 64-byte
// aligned. NULL when memory is short. To be given back with op_release, which takes NULL.
float *op_input(size_t count, double scale, uint64_t *state);
float *op_output(size_t count);
void op_release(float *buffer);
// Whether the canaries around an output are all there, and whether a place in it was never written.
bool op_canaries(const float *output, size_t count);
bool op_is_canary(float value);
// -EIO with "what[index] is got, the reference says want …" where they differ by more than the tolerance or either is NaN, else 0.
int op_compare(const char *what, size_t index, double got, double want, double tolerance, char *message, size_t message_size);
// The end of part `part` of `count` things, of which part − 1's end is the beginning.
static inline int op_part(int count, int part, int parts)
{
    return (int)((int64_t)count * part / parts);
}
enum op_arithmetic op_arithmetic_f32(const struct kernel *kernel);

#endif
