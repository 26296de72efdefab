#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Runs test programs and end-to-end scripts one after the other and counts them.
#
#   tests/run.sh [--log DIR] PROGRAM…      a PROGRAM exits 0 = passed, 77 = skipped (its last line says why), else failed
#
# A program that fails or that takes longer than TEST_TIMEOUT seconds (default 300) has the end of its output printed.
set -u
log=build/test-logs
if [ "${1:-}" = --log ]; then
    log=$2
    shift 2
fi
mkdir -p "$log"
passed=0 failed=0 skipped=0
for program in "$@"; do
    name=$(basename "$program" .sh)
    start=$SECONDS
    timeout -k 10 "${TEST_TIMEOUT:-300}" "./$program" > "$log/$name.log" 2>&1 < /dev/null
    status=$?
    took=$((SECONDS - start))
    case $status in
    0) passed=$((passed + 1)); printf 'ok       %-34s %4d s\n' "$name" "$took" ;;
    77) skipped=$((skipped + 1)); printf 'skipped  %-34s %s\n' "$name" "$(tail -n 1 "$log/$name.log")" ;;
    *) failed=$((failed + 1))
        [ $status -eq 124 ] && reason="ran past ${TEST_TIMEOUT:-300} s" || reason="exit $status"
        printf 'FAILED   %-34s %4d s  %s\n' "$name" "$took" "$reason"
        tail -n 40 "$log/$name.log" | sed 's/^/    /' ;;
    esac
done
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
