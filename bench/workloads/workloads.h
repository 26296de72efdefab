// SPDX-License-Identifier: MIT
// The workloads of the program; one file each in this folder.
#ifndef LLMSWEEP_WORKLOADS_H
#define LLMSWEEP_WORKLOADS_H

#include "harness/workload.h"

// Prefill and decode of a language model that was pruned, quantized and laid out.
extern const struct workload inference_workload;

#endif
