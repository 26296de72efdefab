// SPDX-License-Identifier: MIT
#include "kernels/onednn.h"

#include <dnnl.h>
#include <omp.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct shape {
    enum onednn_type type;
    int m, n, k;
    size_t x_stride, y_stride;
};

// A matrix product of one shape, owned by one thread.
struct matmul {
    struct shape shape;
    dnnl_primitive_t primitive;
    dnnl_memory_t x, w, y;
};

// A decode loop meets about as many shapes as a layer has matrices, times a few token counts.
enum { KEPT = 64 };
static _Thread_local struct matmul kept[KEPT];
static _Thread_local unsigned next_kept;
static _Thread_local dnnl_stream_t stream;
static _Thread_local dnnl_engine_t engine;

// A kernel has no way to report an error, and a wrong product would go unnoticed.
static void must(dnnl_status_t status) {
    if (status != dnnl_success)
        abort();
}

static dnnl_memory_t memory(const dnnl_memory_desc_t *desc) {
    dnnl_memory_t memory;
    must(dnnl_memory_create(&memory, desc, engine, DNNL_MEMORY_NONE));
    return memory;
}

static void build(struct matmul *matmul, const struct shape *shape) {
    static const dnnl_data_type_t types[] = {[ONEDNN_F32] = dnnl_f32, [ONEDNN_BF16] = dnnl_bf16, [ONEDNN_S8] = dnnl_s8};
    const dnnl_data_type_t type = types[shape->type];
    const dnnl_dims_t x_dims = {shape->m, shape->k}, w_dims = {shape->k, shape->n}, y_dims = {shape->m, shape->n};
    const dnnl_dims_t x_strides = {(dnnl_dim_t)shape->x_stride, 1}, w_strides = {1, shape->k},
                      y_strides = {(dnnl_dim_t)shape->y_stride, 1};
    dnnl_memory_desc_t x, w, y;
    dnnl_matmul_desc_t desc;
    dnnl_primitive_desc_t primitive_desc;
    must(dnnl_memory_desc_init_by_strides(&x, 2, x_dims, type, x_strides));
    must(dnnl_memory_desc_init_by_strides(&w, 2, w_dims, type, w_strides));
    must(dnnl_memory_desc_init_by_strides(&y, 2, y_dims, dnnl_f32, y_strides));
    must(dnnl_matmul_desc_init(&desc, &x, &w, NULL, &y));
    must(dnnl_primitive_desc_create(&primitive_desc, &desc, NULL, engine, NULL));
    must(dnnl_primitive_create(&matmul->primitive, primitive_desc));
    must(dnnl_primitive_desc_destroy(primitive_desc));
    matmul->shape = *shape;
    matmul->x = memory(&x);
    matmul->w = memory(&w);
    matmul->y = memory(&y);
}

static void discard(struct matmul *matmul) {
    dnnl_primitive_destroy(matmul->primitive);
    dnnl_memory_destroy(matmul->x);
    dnnl_memory_destroy(matmul->w);
    dnnl_memory_destroy(matmul->y);
}

static bool same(const struct shape *a, const struct shape *b) {
    return a->type == b->type && a->m == b->m && a->n == b->n && a->k == b->k && a->x_stride == b->x_stride &&
           a->y_stride == b->y_stride;
}

static struct matmul *find(const struct shape *shape) {
    for (int i = 0; i < KEPT; i++) {
        if (kept[i].primitive != NULL && same(&kept[i].shape, shape))
            return &kept[i];
    }
    if (stream == NULL) {
        must(dnnl_engine_create(&engine, dnnl_cpu, 0));
        must(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    }
    struct matmul *matmul = &kept[next_kept++ % KEPT];
    if (matmul->primitive != NULL)
        discard(matmul);
    build(matmul, shape);
    return matmul;
}

void onednn_matmul(enum onednn_type type, int m, int n, int k, const void *x, size_t x_stride, const void *w, float *y,
                   size_t y_stride) {
    const struct shape shape = {.type = type, .m = m, .n = n, .k = k, .x_stride = x_stride, .y_stride = y_stride};
    // The caller splits the work between its threads; a team of one is no parallel region to the library, so it is told.
    const int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    const struct matmul *matmul = find(&shape);
    // The library takes no pointers to const, but only reads these.
    must(dnnl_memory_set_data_handle(matmul->x, (void *)(size_t)x));
    must(dnnl_memory_set_data_handle(matmul->w, (void *)(size_t)w));
    must(dnnl_memory_set_data_handle(matmul->y, y));
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, matmul->x}, {DNNL_ARG_WEIGHTS, matmul->w}, {DNNL_ARG_DST, matmul->y}};
    must(dnnl_primitive_execute(matmul->primitive, stream, 3, arguments));
    must(dnnl_stream_wait(stream));
    omp_set_num_threads(threads);
}

const char *onednn_version_text(void) {
    static _Thread_local char text[32];
    const dnnl_version_t *version = dnnl_version();
    snprintf(text, sizeof(text), "%d.%d.%d", version->major, version->minor, version->patch);
    return text;
}
