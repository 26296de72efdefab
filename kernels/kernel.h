// SPDX-License-Identifier: MIT
// Operations, kernels and packed weights: the one header through which everything outside kernels/ reaches them.
//
// An op (linear, attention, …) has a descriptor: how to set up a problem from a seed, a scalar reference that accumulates
// in double, its flops, bytes and tolerance. A kernel is one implementation of an op for one activation type, one weight
// format and one instruction set. The registry gives the best kernel that this CPU and the caller's limits allow.
//
// Kernels cannot fail and keep no state: every call computes the slice of the output that its caller names, so that a
// team of threads splits the work between itself. None of them allocates, locks, or starts a thread.
#ifndef LLMSWEEP_KERNEL_H
#define LLMSWEEP_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ---------------------------------------------------------------------------------------------------------------------
// Instruction sets: a ladder; each step includes those below it.
enum isa { ISA_SCALAR, ISA_AVX2, ISA_AVX512, ISA_AVX512VNNI, ISA_AVX512BF16, ISA_AMX, ISA_COUNT };

#define ISA_WORDS "scalar avx2 avx512 avx512vnni avx512bf16 amx" // their names, lowest first, for messages
const char *isa_name(enum isa isa);
int isa_parse(const char *word, enum isa *isa); // -EINVAL
// The highest step that this CPU and operating system run (CPUID and XGETBV).
enum isa isa_detect(void);
// Sets the highest step that the registry picks from (--isa); clipped to what is detected and to the ceiling. Returns the step in force.
enum isa isa_limit(enum isa highest);
// Keeps every later limit at or below this (LLMSWEEP_ISA), and limits to it now. Returns the step in force.
enum isa isa_ceiling(enum isa highest);
enum isa isa_current(void);

// Who computes: our kernels, or a library that the sweep compares them with in the formats that it has.
enum provider { PROVIDER_OWN, PROVIDER_OPENBLAS, PROVIDER_ONEDNN, PROVIDER_COUNT };
const char *provider_name(enum provider provider); // "own", "openblas", "onednn"
int provider_parse(const char *word, enum provider *provider);

// ---------------------------------------------------------------------------------------------------------------------
// Weight formats. A format is a word: f32 bf16 q16 q8g32 q6g64 q5g32 q4g128 q3g32 q2g32 q4c (c = per output channel) q8t
// (t = per tensor), with an "a" for asymmetric (q4g32a: scale and zero point a group), and behind it what is left out of the
// store: +s50 (bitmask, 50% of the weights absent), +2:4 (two of each four along the input absent), +4:8, +b16x4 (blocks of 16
// rows × 4 columns absent).
enum weight_type { WEIGHT_F32, WEIGHT_BF16, WEIGHT_QUANTIZED };
enum sparse_store { STORE_DENSE, STORE_BITMASK, STORE_N_OF_M, STORE_BLOCK, STORE_BYTEMASK };

struct weight_format {
    enum weight_type type;
    int bits;        // 32, 16, or 16 8 6 5 4 3 2 when quantized
    int group;       // weights along the input that share a scale: 32, 64, 128; 0 = the whole row (per output channel)
    bool per_tensor; // group 0, and the same scale in every row
    bool asymmetric; // a zero point beside the scale
    enum sparse_store store; // as the word names it: never STORE_BYTEMASK
    int n, m;          // STORE_N_OF_M: n of each m weights along the input are absent
    int block_rows, block_columns; // STORE_BLOCK
    double sparsity; // STORE_BITMASK, STORE_BLOCK: the ratio named in the word, 0..1 (what was really dropped is counted when packing)
};
// How weights of a format lie (kernels/pack/packed.h): n:m as a bitmask, and both, of 2 bits and from some ratio on of 4, with a mask of bytes.
enum sparse_store weight_store(const struct weight_format *format);
// -EINVAL and a reason that lists the known words and the nearest one.
int weight_format_parse(const char *word, struct weight_format *format, char *reason, size_t reason_size);
// Writes the word that parses back to the same format.
void weight_format_name(const struct weight_format *format, char *word, size_t size);

// Quantized weights before packing, as every quantization method delivers them: w ≈ scale·(code − zero_point).
struct quantized_matrix {
    int rows, columns, bits, group; // group 0: one scale a row
    int16_t *codes;                 // (rows, columns); symmetric codes in [−(2^(bits−1)−1), 2^(bits−1)−1], asymmetric in [0, 2^bits−1]
    float *scales;                  // (rows, groups a row); storable: already through weight_scale_round()
    uint8_t *zero_points;           // (rows, groups a row) in [0, 2^bits−1]; NULL when symmetric
};

// The nearest scale that the packed store holds: f16, and f32 beside 16-bit codes (whose scales would be f16 subnormals).
float weight_scale_round(int bits, float scale);

// Weights as a kernel reads them: laid out once for all instruction sets in panels of 16 output rows, in one 64-byte aligned buffer.
// The layouts are described in kernels/pack/; only kernels look inside.
struct packed_matrix;

// Packs (rows, columns) row-major weights. For a quantized format, `quantized` holds the codes and `weights` may be NULL.
// Which weights are absent is read from `mask` (rows·columns bytes, 0 = absent), or, where it is NULL, from the zeros of the weights;
// for dense stores the mask is ignored. -ENOMEM; -EINVAL when the shape, the mask, a code or a scale does not fit the format.
int packed_create(const struct weight_format *format, int rows, int columns, const float *weights,
                  const struct quantized_matrix *quantized, const uint8_t *mask, struct packed_matrix **packed);
void packed_free(struct packed_matrix *packed);
// Another one with the same contents. -ENOMEM.
int packed_copy(const struct packed_matrix *packed, struct packed_matrix **copy);
// Bytes that a kernel reads to use the whole matrix once: codes, masks, indices, scales, zero points, padding.
size_t packed_bytes(const struct packed_matrix *packed);
const struct weight_format *packed_format(const struct packed_matrix *packed);
int packed_rows(const struct packed_matrix *packed);
int packed_columns(const struct packed_matrix *packed);
// The fraction of weights that are absent from the store or stored as zero, counted.
double packed_sparsity(const struct packed_matrix *packed);
// Weights that a kernel's time does depend on: those that are present in the store.
size_t packed_present(const struct packed_matrix *packed);
// Reads the weights back as f32, (rows, columns): what the kernels compute with.
void packed_unpack(const struct packed_matrix *packed, float *weights);
// Brings dense f32, bf16 or symmetric 8-bit weights with one scale a row into the layout that a provider's kernels read: our panels, or row-major for the libraries. To be called
// before the first linear call with a kernel of another provider than the last; does nothing where the layout is already right. -ENOMEM,
// -EINVAL (a format that the libraries do not have).
int packed_prepare(struct packed_matrix *packed, enum provider provider);
// Output rows are split between threads at multiples of this.
enum { PACKED_PANEL_ROWS = 16 };
// -EINVAL with the reason when a (rows, columns) matrix cannot be stored so (columns not a multiple of the group, …).
int packed_check_shape(const struct weight_format *format, int rows, int columns, char *reason, size_t reason_size);

// ---------------------------------------------------------------------------------------------------------------------
// Activations: f32; bf16, to which kernels round what they are given (to nearest even), for sums in f32; or dynamically quantized to 8 bits,
// symmetric, with the sums of each 32 codes that the offset of unsigned weights and asymmetric zero points need. q8 has one scale a token;
// q8g one for each group of columns that the weights have a scale for, so that an activation far larger than the rest costs no more than
// its own group. Kernels of ACTIVATION_Q8 compute both, and ours of ACTIVATION_F32 compute f32 and bf16, as the call says. What has
// ACTIVATION_BF16 of its own is matrix tiles and dot products of bf16, which also round weights to bf16, and a library.
enum activation { ACTIVATION_F32, ACTIVATION_Q8, ACTIVATION_BF16, ACTIVATION_Q8G, ACTIVATION_COUNT };
const char *activation_name(enum activation activation); // "f32", "q8", "bf16", "q8g"
#define ACTIVATION_WORDS "f32, bf16, q8, q8g" // for messages
int activation_parse(const char *word, enum activation *activation);
// What is used where nobody chooses: for weights of 8 bits and fewer codes, with a scale for each of the weights' groups where they have such.
enum activation activation_automatic(const struct weight_format *format);
// Whether linear kernels are given codes (struct quantized_rows), and not floats.
static inline bool activation_quantized(enum activation activation) {
    return activation == ACTIVATION_Q8 || activation == ACTIVATION_Q8G;
}

struct quantized_rows {
    int rows, columns, groups; // columns is a multiple of 32 in each of the groups
    int8_t *codes;             // (rows, columns), 64-byte aligned, row stride = columns
    float *scales;             // (rows, groups); with several groups their significands have 22 bits, see linear_biased() of kernels/linear/linear.h
    int32_t *sums;             // (rows, columns/32)
};

// Codes for up to `rows` rows, 64-byte aligned; a scale for each `group` columns (a multiple of 32 that divides them), or, where it is 0, for
// all. -ENOMEM, -EINVAL.
int quantized_rows_create(int rows, int columns, int group, struct quantized_rows *out);
void quantized_rows_free(struct quantized_rows *rows);

// Quantizes rows [begin, end) of x, each group: scale = max|x|/127 (rounded to what quantized_rows holds), code = round to nearest even of x·(127/max). A group that holds a NaN or
// an infinity gets the scale NaN, so that it cannot go unnoticed.
struct quantize_rows_call {
    const float *x; // (rows, columns), row stride x_stride, in floats
    size_t x_stride;
    struct quantized_rows *out;
    int begin, end;
};
typedef void quantize_rows_function(const struct quantize_rows_call *call);

// y[i][j] = Σₖ x[i][k]·w[j][k] for rows i of x and the output columns j in [begin, end).
struct linear_call {
    const struct packed_matrix *weights;  // (n, k)
    enum activation activation;           // ACTIVATION_BF16: kernels with ACTIVATION_F32 round x first. All others need not be told
    const float *x;                       // (m, k), row stride x_stride; for kernels with ACTIVATION_F32 and ACTIVATION_BF16
    const struct quantized_rows *x_codes; // (m, k); for kernels with ACTIVATION_Q8. Its groups are 1 or those of the weights
    size_t x_stride;                      // in floats
    float *y;                             // (m, n), row stride y_stride
    size_t y_stride;
    int m;
    int begin, end; // multiples of PACKED_PANEL_ROWS, or end = n
    void *scratch;  // linear_scratch_bytes() of the caller's own memory, 64-byte aligned; not shared between threads
};
typedef void linear_function(const struct linear_call *call);
size_t linear_scratch_bytes(int n, int k, int m);

// ---------------------------------------------------------------------------------------------------------------------
// How a cache stores keys and values: as floats, or as integers with an f16 scale for each 64 along the head dimension
// (kernels/attention/attention.h).
enum kv_type { KV_F32, KV_BF16, KV_Q8, KV_Q4, KV_TYPES };
const char *kv_type_name(enum kv_type type); // "f32", "bf16", "q8", "q4"

// ---------------------------------------------------------------------------------------------------------------------
enum op { OP_LINEAR, OP_QUANTIZE_ROWS, OP_RMSNORM, OP_ROPE, OP_SWIGLU, OP_ATTENTION, OP_SOFTMAX, OP_COUNT };

// Each kernel file kernels/<op>/<name>.c defines one `const struct kernel <name>`; the Makefile lists them for the registry.
struct kernel {
    const char *name; // = file name = symbol: linear_q8_q4_avx512vnni
    enum op op;
    enum isa isa;
    enum provider provider;
    // OP_LINEAR: what it computes with. bits 0: every width.
    enum activation activation;
    enum weight_type weight_type;
    int bits;
    enum sparse_store store;
    bool any_store;         // every store (the scalar kernels)
    bool per_channel;       // only symmetric codes with one scale a row
    // OP_ATTENTION: the cache that it reads.
    enum kv_type kv;
    bool any_kv;            // every type of cache (the scalar kernel)
    const char *layout;     // one line: what the hot loop reads, and the bound that it is near
    void (*function)(void); // cast to the op's function type
};

// Every kernel that was built, in the order of their names.
const struct kernel *const *kernel_all(size_t *count);
const struct kernel *kernel_find(const char *name);
// The highest kernel on the ladder below the current limit that computes this; NULL with a reason where there is none (a provider
// that has no such format). `why` may be NULL; it receives what was picked and why, for `llmsweep kernels --list`.
const struct kernel *kernel_linear(const struct weight_format *format, enum activation activation, enum provider provider, char *why,
                                   size_t why_size);
// Whether an OP_LINEAR kernel computes with this format and these activations.
bool kernel_computes(const struct kernel *kernel, const struct weight_format *format, enum activation activation);
// The pick for an op that has no formats (all but OP_LINEAR); of OP_ATTENTION, the one for an f32 cache.
const struct kernel *kernel_pick(enum op op);
// The highest attention kernel below the current limit that reads such a cache.
const struct kernel *kernel_attention(enum kv_type kv);

// Functions of the other ops are declared in kernels/<op>/<op>.h with their argument structs.
#endif
