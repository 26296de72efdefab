#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# A worker that the kernel kills for want of memory, under a real limit: its cell is a row `oom`, and the sweep goes on. Needs a control
# group that this user may make.
set -u
program=${BUILD:-build}/llmsweep
scratch=$(mktemp -d)
group=
cleanup() {
    [ -n "$group" ] && rmdir "$group" 2> /dev/null
    rm -rf "$scratch"
}
trap cleanup EXIT
wrong() { echo "oom.sh: $1"; exit 1; }
skip() { echo "oom.sh: $1"; exit 77; }
# A folder for groups, and the name of the file that limits them: version 1's memory controller, or version 2.
try_group() { # folder, file
    [ -d "$1" ] && mkdir "$1/llmsweep-oom-$$" 2> /dev/null || return 1
    group=$1/llmsweep-oom-$$
    limit=$group/$2
    [ -w "$limit" ] && echo 400000000 2> /dev/null > "$limit" && return 0
    rmdir "$group"
    group=
    return 1
}
try_group /sys/fs/cgroup/memory memory.limit_in_bytes ||
    try_group "/sys/fs/cgroup$(sed -n 's/^0:://p' /proc/self/cgroup)" memory.max || try_group /sys/fs/cgroup memory.max ||
    skip "no control group with a memory limit can be made here"
[ -e "$group/memory.swap.max" ] && echo 0 > "$group/memory.swap.max"

# The shape needs 2 GB; memory_limit says that there is enough, as an estimate that is too low would.
cat > "$scratch/s.ini" << 'SPEC'
prompt = 4
gen = 2
quality_tokens = 0
roof_time = 0
counters = none
rounds = 1
min_samples = 2
max_samples = 2
warmup_time = 0s
model = bench/models/embedded.gguf, bench/models/shapes/qwen2.5-0.5b.ini
format = q8g32
batch = 1, 2
memory_limit = 64G
SPEC
bash -c 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"' - "$group" \
    "$program" run "$scratch/s.ini" -o "$scratch/run" --quiet > "$scratch/out" 2> "$scratch/err"
status=$?
[ $status -eq 0 ] || { cat "$scratch/err"; wrong "the run exits with $status"; }
cells=$scratch/run/cells.csv
[ "$(grep -c ',oom,the kernel killed its worker for want of memory' "$cells")" -eq 2 ] ||
    { cut -d, -f1-5 "$cells"; wrong "the cells of the large model are not both oom"; }
[ "$(grep -cE '^[0-9a-f]{16},(ok|noisy),' "$cells")" -eq 2 ] || { cut -d, -f1-5 "$cells"; wrong "the cells of the small model are not both there"; }
exit 0
