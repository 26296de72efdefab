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

"$llmsweep" kernels --bench --filter 'linear_f32_any_scalar' --format q4g32 --shapes 64x64 --tokens 1,3 --time 0.02 \
    --csv "$work/kernels.csv" >"$work/bench" 2>&1 || problem "kernels --bench failed: $(cat "$work/bench")"
[ "$(head -1 "$work/kernels.csv")" = "kernel,op,isa,shape,cache,median_ns,lo,hi,gops,gbs,roof,roof_fraction,checked,status,bound,threads,samples,bandwidth_gbs,peak_gops,provider,note,arithmetic" ] ||
    problem "kernels.csv begins with $(head -1 "$work/kernels.csv")"
[ "$(grep -c '^linear_f32_any_scalar,linear,scalar,q4g32 64x64 m[13],hot,' "$work/kernels.csv")" = 2 ] ||
    problem "kernels.csv has not one row for each number of tokens: $(cat "$work/kernels.csv")"

"$llmsweep" kernels --isa avx2 | grep -q '^q4g32 *bf16 *linear_f32_q4_avx2' || problem "below AMX bf16 activations are not those kernels' of f32"
"$llmsweep" kernels --bench --filter 'linear_f32_any_scalar' --format q4g32+s50 --act bf16 --shapes 64x64 --tokens 1 --time 0.01 >"$work/bench" 2>&1 ||
    problem "kernels --bench --act bf16 failed: $(cat "$work/bench")"
grep -q 'q4g32+s50 bf16 64x64 m1' "$work/bench" || problem "--act bf16 has no row: $(cat "$work/bench")"

"$llmsweep" kernels --bench --filter 'rmsnorm_f32_*' --time 0.01 --json >"$work/json" 2>"$work/err" ||
    problem "kernels --bench --json failed: $(cat "$work/err")"
grep -q '"kernel": "rmsnorm_f32_scalar"' "$work/json" || problem "--json has no row of rmsnorm_f32_scalar: $(head -3 "$work/json")"
"$llmsweep" kernels --bench --filter linear_f32_any_scalar --shapes bench/models/shapes/smollm2-135m.ini --tokens 1 --time 0.001 \
    >"$work/bench" 2>&1 || problem "kernels --bench of a model's shapes failed: $(cat "$work/bench")"
[ "$(grep -c '^linear_f32_any_scalar' "$work/bench")" = 4 ] || problem "the model has four different matrices: $(cat "$work/bench")"
LLMSWEEP_ISA=avx2 "$llmsweep" kernels --list >"$work/list" || problem "LLMSWEEP_ISA=avx2 kernels --list failed"
grep -q '^q4g32 *q8 *linear_q8_q4_avx2' "$work/list" || problem "LLMSWEEP_ISA=avx2 does not pick the AVX2 kernel"
"$llmsweep" kernels --prune --format q8g32 --shapes 64x256 --cache hot --time 0.01 >"$work/prune" 2>&1 ||
    problem "kernels --prune failed: $(cat "$work/prune")"
[ "$(grep -c '^q8g32+s[0-9.]* q8g 64x256 m1 .* hot ' "$work/prune")" = 9 ] || problem "--prune has not nine ratios: $(cat "$work/prune")"
[ "$(grep -c '%  *[1-9][0-9]*% hot ' "$work/prune")" = 9 ] || problem "--prune does not say what a core alone takes: $(cat "$work/prune")"
grep -q '^q8g32 64x256 m1: pruning is faster from .*; fewer bytes from 1[0-9]\.[0-9]% on' "$work/prune" ||
    problem "--prune does not say from where on pruning pays: $(tail -2 "$work/prune")"
LLMSWEEP_ISA=sse "$llmsweep" kernels --list 2>"$work/err" && problem "LLMSWEEP_ISA=sse is accepted"
grep -q "LLMSWEEP_ISA: unknown instruction set 'sse'" "$work/err" || problem "LLMSWEEP_ISA=sse: says $(cat "$work/err")"

PATH=/usr/bin:/bin LLAMA_BENCH= "$llmsweep" peers --no-libraries >"$work/out" 2>"$work/err" || problem "peers fails where there is no llama-bench"
[ -x /usr/bin/llama-bench ] || grep -q 'no llama-bench on PATH' "$work/err" || problem "peers does not say that there is no llama-bench: $(cat "$work/err")"
"$llmsweep" peers --act q4 >/dev/null 2>"$work/err" && problem "peers takes activations that there are not"
grep -q 'not q8g, q8, bf16 or f32' "$work/err" || problem "peers --act q4 says $(cat "$work/err")"
"$llmsweep" peers --llama-bench /no/such/program >/dev/null 2>"$work/err" && problem "peers takes a program that is not there"

refused "unknown format 'q9' (known:" --bench --format q9
refused "unknown instruction set" --isa sse
refused "is not a shape" --bench --shapes 12
refused "not up to 16 token counts" --bench --tokens 1,,2
refused "multiple of 32" --bench --filter linear_f32_any_scalar --shapes 64x65
refused "block store holds f32, bf16 and 8, 4 or 2-bit codes" --bench --filter linear_q8_any_scalar --format q3g32+b16x4
refused "--prune takes neither" --prune --csv "$work/kernels.csv"
refused "no kernel matches 'nothing'" --check --filter nothing
refused "no kernel matches 'nothing'" --bench --filter nothing
exit $failed
