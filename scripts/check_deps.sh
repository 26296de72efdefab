#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Who may include whom: kernels/ and harness/ do not know each other nor bench/; each outside engine is included by one file.
set -u
cd "$(dirname "$0")/.."
status=0
complain() { echo "check-deps: $1" >&2; status=1; }

forbid() { # folder, pattern, why
    local hits
    hits=$(grep -rnE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[\"<]$2" --include='*.[ch]' "$1" 2> /dev/null) || return 0
    complain "$3:"$'\n'"$hits"
}
forbid kernels '(harness|bench|tests)/' "kernels/ may include only kernels/"
forbid harness '(kernels|bench|tests)/' "harness/ may include only harness/"
forbid bench 'tests/' "bench/ may not include tests/"

only() { # header, file
    local hits
    hits=$(grep -rlE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[\"<]$1[\">]" --include='*.[ch]' kernels harness bench | grep -vx "$2")
    [ -z "$hits" ] || complain "<$1> belongs to $2 alone, but is included by: $hits"
}
only mpi.h harness/comm.c
only papi.h harness/counters.c
only hwloc.h harness/topology.c
only cblas.h kernels/blas.c
only dnnl.h kernels/onednn.c

prints=$(grep -rnE '\b(printf|fprintf|puts|fputs|perror|fopen|clock_gettime|exit)[[:space:]]*\(' --include='*.[ch]' kernels)
[ -z "$prints" ] || complain "kernels/ opens no file, prints nothing, reads no clock, never exits:"$'\n'"$prints"
exit $status
