#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# llmsweep kernels: lists, checks and times, writes kernels.csv, and refuses what it does not know.
set -u
llmsweep=${BUILD:-build}/llmsweep
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

problem() {
    echo "$1"
    failed=1
}

refused() { # what is said, arguments
    local text=$1
    shift
    "$llmsweep" kernels "$@" >"$work/out" 2>"$work/err"
    local code=$?
    [ $code -eq 2 ] || problem "kernels $*: exit code $code, not 2"
    grep -qF -- "$text" "$work/err" || problem "kernels $*: says '$(head -1 "$work/err")', not '$text'"
}

"$llmsweep" kernels --list >"$work/list" || problem "kernels --list failed"
grep -q '^linear_f32_any_scalar ' "$work/list" || problem "the list lacks linear_f32_any_scalar"
"$llmsweep" kernels --isa scalar | grep -q '^q4g32 *q8 *linear_q8_any_scalar' || problem "--isa scalar does not pick the scalar kernel"

"$llmsweep" kernels --check --filter 'linear_q8_q4_*' >"$work/check" || problem "kernels --check failed: $(cat "$work/check")"
grep -q ', 0 failed' "$work/check" || problem "kernels --check does not say that none failed"

"$llmsweep" kernels --bench --filter 'linear_f32_any_scalar' --format q4g32 --shape 64x64 --tokens 1,3 --time 0.02 \
    --csv "$work/kernels.csv" >"$work/bench" 2>&1 || problem "kernels --bench failed: $(cat "$work/bench")"
[ "$(head -1 "$work/kernels.csv")" = "kernel,op,isa,shape,cache,median_ns,lo,hi,gops,gbs,roof,roof_fraction,checked" ] ||
    problem "kernels.csv begins with $(head -1 "$work/kernels.csv")"
[ "$(grep -c '^linear_f32_any_scalar,linear,scalar,q4g32 64x64 m[13],hot,' "$work/kernels.csv")" = 2 ] ||
    problem "kernels.csv has not one row for each number of tokens: $(cat "$work/kernels.csv")"

refused "unknown format 'q9' (known:" --bench --format q9
refused "unknown instruction set" --isa sse
refused "not a shape" --bench --shape 12
refused "not up to 16 token counts" --bench --tokens 1,,2
refused "multiple of 32" --bench --filter linear_f32_any_scalar --shape 64x65
refused "no linear kernel matches 'nothing'" --check --filter nothing
refused "no linear kernel matches 'nothing'" --bench --filter nothing
exit $failed
