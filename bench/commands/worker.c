// SPDX-License-Identifier: MIT
// llmsweep worker: what `llmsweep run` starts for each layout; it speaks with its driver on stdin and stdout.
#include <stdio.h>

#include "bench/commands/commands.h"
#include "bench/workloads/workloads.h"
#include "harness/worker.h"

int command_worker(int argc, char **argv) {
    char error[400] = "";
    int code = worker_main(&inference_workload, &argc, &argv, error, sizeof error);
    if (code)
        fprintf(stderr, "llmsweep: worker: %s\n", error);
    return code;
}
