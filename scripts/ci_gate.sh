#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Judges the working tree against the merge base with a branch, on any CI system: scripts/ci_gate.sh [BRANCH] [SPEC]
# Leaves results/gate/{gate.md,gate.json,pairs.csv,report/}. Exit codes are the gate's: 0 no regression, 1 a regression, 3 it failed itself. Where only
# ambiguous figures are left (4) it exits 0 and says so, unless GATE_STRICT=1: a shared runner is noisy, and ambiguous is no verdict.
# GATE_FLAGS are further options, such as --witness.
set -euo pipefail
cd "$(dirname "$0")/.."
branch=${1:-origin/main} spec=${2:-}
git rev-parse --git-dir > /dev/null 2>&1 || git config --global --add safe.directory "$PWD" # a container's user is not the checkout's
base=$(git merge-base HEAD "$branch") || { echo "ci_gate.sh: no merge base with '$branch'; fetch it first (a shallow clone has no history)" >&2; exit 2; }
scripts/setup.sh >&2
make -j"$(nproc)" all >&2
rm -rf results/gate
code=0
# shellcheck disable=SC2086
build/llmsweep gate --base "$base" ${spec:+--spec "$spec"} -o results/gate --format markdown ${GATE_FLAGS:-} || code=$?
if [ -d results/gate/survey-head ]; then
    build/llmsweep report results/gate/survey-head -o results/gate/report > /dev/null || true
fi
if [ $code -eq 4 ] && [ "${GATE_STRICT:-0}" != 1 ]; then
    echo "ci_gate.sh: only ambiguous figures: neither passed nor failed" >&2
    code=0
fi
exit $code
