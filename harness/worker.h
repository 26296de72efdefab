// SPDX-License-Identifier: MIT
// A worker: the ranks of one layout, which run its cells on the driver's word.
//
// The driver writes one JSON object a line to rank 0's stdin and reads one a line from its stdout. Every command is answered by one
// reply; {"event":"doing"} lines before it say what is being done.
//
//     {"do":"open","layout":W,"threads":D,"seconds":S,"oversubscribe":B,"settings":{…}}  → {"event":"ready","ranks":[{…}],…}
//     {"do":"visit","cell":[…],"name":N,"final":B,…}   → {"event":"visited","samples":[…],…}
//     {"do":"quality","cell":[…]}                      → {"event":"judged","facts":{…}}
//     {"do":"quit"}                                    → the worker ends
//     any of them                                      → {"event":"failed","code":−errno,"reason":"…"}
#ifndef LLMSWEEP_WORKER_H
#define LLMSWEEP_WORKER_H

#include "harness/workload.h"

// Runs until the driver says so or is gone. Must be called before anything writes to stdout. Returns the exit code: 0, or 3 with a line in
// error.
int worker_main(const struct workload *workload, int *argc, char ***argv, char *error, size_t error_size);

#endif
