// SPDX-License-Identifier: MIT
#include "kernels/kernel.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static const char *const isa_names[ISA_COUNT] = {
    [ISA_SCALAR] = "scalar",         [ISA_AVX2] = "avx2", [ISA_AVX512] = "avx512", [ISA_AVX512VNNI] = "avx512vnni",
    [ISA_AVX512BF16] = "avx512bf16", [ISA_AMX] = "amx",
};

const char *isa_name(enum isa isa) { return (unsigned)isa < ISA_COUNT ? isa_names[isa] : "unknown"; }

int isa_parse(const char *word, enum isa *isa) {
    for (int i = 0; i < ISA_COUNT; i++) {
        if (strcmp(word, isa_names[i]) == 0) {
            *isa = (enum isa)i;
            return 0;
        }
    }
    return -EINVAL;
}

#if defined(__x86_64__)
// Of the builtin only GCC knows this name.
static bool converts_float16(void) {
    unsigned a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}
#endif

#if defined(__x86_64__)
// AMX's registers are large, so that Linux saves them only for processes that ask (Documentation/arch/x86/xstate.rst).
static bool may_use_matrix_tiles(void) {
    enum { BF16_BIT = 1 << 22, TILE_BIT = 1 << 24, INT8_BIT = 1 << 25, ARCH_REQUEST_STATE = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & BF16_BIT) && (d & TILE_BIT) && (d & INT8_BIT) &&
           syscall(SYS_arch_prctl, ARCH_REQUEST_STATE, TILE_DATA) == 0;
}
#endif

static enum isa detect(void) {
#if defined(__x86_64__)
    // The builtin asks XGETBV too: a step counts only if the operating system saves its registers.
    __builtin_cpu_init();
    if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && converts_float16() &&
          __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt")))
        return ISA_SCALAR;
    if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")))
        return ISA_AVX2;
    if (!(__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512vbmi") &&
          __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("gfni")))
        return ISA_AVX512;
    if (!__builtin_cpu_supports("avx512bf16"))
        return ISA_AVX512VNNI;
    return may_use_matrix_tiles() ? ISA_AMX : ISA_AVX512BF16;
#else
    return ISA_SCALAR;
#endif
}

// Asked once: on a virtual machine every CPUID is an exit to the hypervisor.
enum isa isa_detect(void) {
    static atomic_int detected = -1;
    int isa = atomic_load(&detected);
    if (isa < 0) {
        isa = (int)detect();
        atomic_store(&detected, isa);
    }
    return (enum isa)isa;
}

static atomic_int current = -1; // −1: nobody asked yet
static atomic_int ceiling = ISA_COUNT - 1;

static enum isa lower(enum isa a, enum isa b) { return a < b ? a : b; }

enum isa isa_limit(enum isa highest) {
    const enum isa isa = lower(lower(highest, isa_detect()), (enum isa)atomic_load(&ceiling));
    atomic_store(&current, (int)isa);
    return isa;
}

enum isa isa_ceiling(enum isa highest) {
    atomic_store(&ceiling, (int)highest);
    return isa_limit(highest);
}

enum isa isa_current(void) {
    const int isa = atomic_load(&current);
    return isa >= 0 ? (enum isa)isa : isa_limit(ISA_COUNT - 1);
}

static const char *const provider_names[PROVIDER_COUNT] = {
    [PROVIDER_OWN] = "own",
    [PROVIDER_OPENBLAS] = "openblas",
    [PROVIDER_ONEDNN] = "onednn",
};

const char *provider_name(enum provider provider) {
    return (unsigned)provider < PROVIDER_COUNT ? provider_names[provider] : "unknown";
}

int provider_parse(const char *word, enum provider *provider) {
    for (int i = 0; i < PROVIDER_COUNT; i++) {
        if (strcmp(word, provider_names[i]) == 0) {
            *provider = (enum provider)i;
            return 0;
        }
    }
    return -EINVAL;
}

static const char *const activation_names[ACTIVATION_COUNT] = {"f32", "q8", "bf16", "q8g"};

const char *activation_name(enum activation activation) { return activation_names[activation]; }

enum activation activation_automatic(const struct weight_format *format) {
    if (format->type != WEIGHT_QUANTIZED || format->bits > 8)
        return ACTIVATION_F32;
    return format->group > 0 ? ACTIVATION_Q8G : ACTIVATION_Q8;
}

int activation_parse(const char *word, enum activation *activation) {
    for (int i = 0; i < ACTIVATION_COUNT; i++) {
        if (strcmp(word, activation_names[i]) == 0) {
            *activation = (enum activation)i;
            return 0;
        }
    }
    return -EINVAL;
}
