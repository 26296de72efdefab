// SPDX-License-Identifier: MIT
// The table of kernels. The Makefile writes kernel_list.h, one KERNEL(name) a kernel file, sorted by name.
#include "kernels/kernel.h"

#include <stdio.h>
#include <string.h>

#define KERNEL(name) extern const struct kernel name;
#include "kernel_list.h"
#undef KERNEL

static const struct kernel *const kernels[] = {
#define KERNEL(name) &name,
#include "kernel_list.h"
#undef KERNEL
};
enum { KERNELS = sizeof(kernels) / sizeof(kernels[0]) };

const struct kernel *const *kernel_all(size_t *count) {
    *count = KERNELS;
    return kernels;
}

const struct kernel *kernel_find(const char *name) {
    for (size_t i = 0; i < KERNELS; i++) {
        if (strcmp(kernels[i]->name, name) == 0)
            return kernels[i];
    }
    return NULL;
}

bool kernel_computes(const struct kernel *kernel, const struct weight_format *format, enum activation activation) {
    if (activation == ACTIVATION_Q8G) // our kernels of q8 take a scale a group as well, where the weights have groups
        return format->group > 0 && kernel->provider == PROVIDER_OWN && kernel_computes(kernel, format, ACTIVATION_Q8);
    if (activation == ACTIVATION_BF16 && kernel->activation == ACTIVATION_F32) // ours round what they read, if told to
        return kernel->provider == PROVIDER_OWN && kernel_computes(kernel, format, ACTIVATION_F32);
    if (kernel->op != OP_LINEAR || kernel->activation != activation)
        return false;
    if (kernel->any_store) // a scalar kernel reads every store, and with bits 0 every width of it
        return activation != ACTIVATION_Q8 || (format->type == WEIGHT_QUANTIZED && format->bits <= 8);
    if (kernel->per_channel && (format->group != 0 || format->asymmetric))
        return false;
    return kernel->weight_type == format->type && kernel->store == weight_store(format) &&
           (format->type != WEIGHT_QUANTIZED || kernel->bits == format->bits);
}

const struct kernel *kernel_linear(const struct weight_format *format, enum activation activation,
                                   enum provider provider, char *why, size_t why_size) {
    const struct kernel *best = NULL;
    char word[64], shape_reason[160];
    weight_format_name(format, word, sizeof(word));
    if (why == NULL)
        why_size = 0;
    if (packed_check_shape(format, PACKED_PANEL_ROWS, 1024, shape_reason, sizeof(shape_reason)) != 0) {
        snprintf(why, why_size, "%s", shape_reason);
        return NULL;
    }
    for (size_t i = 0; i < KERNELS; i++) {
        const struct kernel *kernel = kernels[i];
        if (kernel->provider == provider && kernel->isa <= isa_current() &&
            kernel_computes(kernel, format, activation) && (best == NULL || kernel->isa > best->isa))
            best = kernel;
    }
    if (best != NULL)
        snprintf(why, why_size, "%s: the highest step up to %s", best->name, isa_name(isa_current()));
    else if (provider == PROVIDER_OWN)
        snprintf(why, why_size, "no kernel computes %s weights with %s activations%s", word,
                 activation_name(activation),
                 activation == ACTIVATION_Q8     ? " (8-bit activations need weights quantized to 8 bits or fewer)"
                 : activation == ACTIVATION_Q8G  ? " (activations with a scale a group need weights of 8 bits or fewer that have groups)"
                                                 : "");
    else
        snprintf(why, why_size, "provider %s has no %s weights with %s activations (it computes dense f32%s)",
                 provider_name(provider), word, activation_name(activation),
                 provider == PROVIDER_ONEDNN ? ", bf16, and q8c and q8t with q8 activations" : "");
    return best;
}

const char *kv_type_name(enum kv_type type) {
    static const char *const names[KV_TYPES] = {"f32", "bf16", "q8", "q4"};
    return names[type];
}

static const struct kernel *pick(enum op op, enum kv_type kv) {
    const struct kernel *best = NULL;
    for (size_t i = 0; i < KERNELS; i++) {
        const struct kernel *kernel = kernels[i];
        if (kernel->op == op && kernel->provider == PROVIDER_OWN && kernel->isa <= isa_current() &&
            (op != OP_ATTENTION || kernel->any_kv || kernel->kv == kv) && (best == NULL || kernel->isa > best->isa))
            best = kernel;
    }
    return best;
}

const struct kernel *kernel_pick(enum op op) { return pick(op, KV_F32); }

const struct kernel *kernel_attention(enum kv_type kv) { return pick(OP_ATTENTION, kv); }
