#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Our kernels beside OpenBLAS and oneDNN, and the engine beside every llama-bench that there is: LLAMA_BENCH=path, and those on PATH.
# Arguments go to `llmsweep peers` (--help lists them). Nothing is asserted; where there is no llama-bench, it says so.
set -u
llmsweep=${BUILD:-build}/llmsweep
benches=()

if [ -n "${LLAMA_BENCH:-}" ]; then
    [ -x "$LLAMA_BENCH" ] || { echo "bench_peers.sh: LLAMA_BENCH=$LLAMA_BENCH is not a program" >&2; exit 2; }
    benches+=("$LLAMA_BENCH")
fi
while read -r path; do
    case " ${benches[*]-} " in *" $path "*) ;; *) benches+=("$path") ;; esac
done < <(type -ap llama-bench)

"$llmsweep" peers --no-models "$@" || exit
[ ${#benches[@]} -gt 0 ] || echo "No llama-bench on PATH or in LLAMA_BENCH, so no other engine was compared." >&2
for bench in "${benches[@]}"; do
    echo
    "$llmsweep" peers --no-libraries --llama-bench "$bench" "$@" || exit
done
