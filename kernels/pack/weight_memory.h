// SPDX-License-Identifier: MIT
// Memory for packed weights: in huge pages where the system gives them, small matrices after each other, so that reading a model does not
// wait for address translation, which takes a tenth to a quarter of a decode step. malloc() gives small pages to small matrices always, and
// to others whenever it gives memory a second time.
#ifndef LLMSWEEP_WEIGHT_MEMORY_H
#define LLMSWEEP_WEIGHT_MEMORY_H

#include <stddef.h>
#include <stdint.h>

// Not touched yet where it is large, so that who writes it decides on which NUMA node it lies; aligned to 64; NULL if there is none. Any
// thread may call these.
uint8_t *weight_memory_reserve(size_t bytes);
// Of what the above returned, or NULL.
void weight_memory_release(uint8_t *memory);

#endif
