// SPDX-License-Identifier: MIT
// The layout that the libraries read.
#include "kernels/pack/packed.h"

#include "kernels/pack/float16.h"

#include <errno.h>
#include <stdlib.h>

static int to_row_major(struct packed_matrix *packed) {
    const size_t count = (size_t)packed->rows * (size_t)packed->columns;
    const size_t bytes = count * (size_t)(packed->format.bits / 8);
    float *weights = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
    if (weights == NULL)
        return -ENOMEM;
    packed_unpack(packed, weights);
    void *row_major = weights;
    if (packed->format.type == WEIGHT_BF16) {
        uint16_t *halves = aligned_alloc(64, (bytes + 63) / 64 * 64);
        for (size_t i = 0; halves != NULL && i < count; i++)
            halves[i] = float_to_bfloat16(weights[i]);
        free(weights);
        if (halves == NULL)
            return -ENOMEM;
        row_major = halves;
    }
    free(packed->data);
    free(packed->offsets);
    packed->data = NULL;
    packed->offsets = NULL;
    packed->row_major = row_major;
    packed->bytes = bytes;
    return 0;
}

static int to_panels(struct packed_matrix *packed) {
    float *weights = malloc((size_t)packed->rows * (size_t)packed->columns * sizeof(float));
    struct packed_matrix *panels;
    if (weights == NULL)
        return -ENOMEM;
    packed_unpack(packed, weights);
    const int status = packed_create(&packed->format, packed->rows, packed->columns, weights, NULL, NULL, &panels);
    free(weights);
    if (status != 0)
        return status;
    free(packed->row_major);
    *packed = *panels;
    free(panels);
    return 0;
}

int packed_prepare(struct packed_matrix *packed, enum provider provider) {
    const bool panels = provider == PROVIDER_OWN;
    if (panels == (packed->row_major == NULL))
        return 0;
    if (packed->format.store != STORE_DENSE || packed->format.type == WEIGHT_QUANTIZED)
        return -EINVAL;
    return panels ? to_panels(packed) : to_row_major(packed);
}
