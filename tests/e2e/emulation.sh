#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# The kernels of AMX beside their references where the CPU has no AMX: by a program whose tile instructions are emulated (tests/emulation).
set -u
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$build/llmsweep" kernels --list >"$work/list" || exit 1
if grep -q 'up to amx$' "$work/list"; then
    echo "the CPU has AMX: check_linear and kernels --check run its kernels"
    exit 77
fi
if ! grep -q 'up to avx512bf16$' "$work/list"; then
    echo "the CPU lacks AVX-512 BF16, which the kernels of AMX use too"
    exit 77
fi
"$build/emulation/llmsweep" kernels --check --filter '*_amx' >"$work/check" 2>&1
code=$?
tail -3 "$work/check"
kernels=$(ls kernels/*/*_amx.c | wc -l)
checked=$(awk '/_amx/ && $0 !~ /skipped/ {print $1}' "$work/check" | sort -u | wc -l)
echo "$checked of $kernels kernels checked"
[ $code -eq 0 ] && [ "$checked" -eq "$kernels" ] && grep -q ', 0 failed' "$work/check"
