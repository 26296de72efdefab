#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What export-model writes is the model that was measured: the exported file, as it is, has the perplexity of the variant it came from.
set -u
program=build/llmsweep model=bench/models/embedded.gguf
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export LLMSWEEP_CACHE=$folder/cache
status=0

complain()
{
    echo "$*"
    status=1
}

perplexity()
{
    "$program" eval "$@" --tokens 1024 --json | grep -o '"ppl": [0-9.]*' | cut -d' ' -f2
}

# name, options of the variant, type of the file, how far apart the perplexities may be (in ln)
compare()
{
    local name=$1 type=$3 tolerance=$4 options
    read -ra options <<< "$2"
    "$program" export-model "$model" -o "$folder/$name.gguf" --type "$type" "${options[@]}" > /dev/null || { complain "$name: not written"; return; }
    local before after
    before=$(perplexity "$model" "${options[@]}") after=$(perplexity "$folder/$name.gguf")
    awk -v a="$before" -v b="$after" -v t="$tolerance" 'BEGIN { d = log(b / a); exit !(a > 1 && b > 1 && d <= t && d >= -t) }' ||
        complain "$name: perplexity $before became $after"
}
compare whole "" f32 1e-5
compare pruned "--prune 30%" f32 1e-5
compare eight "--format q8g32" q8_0 1e-4
compare four "--format q4g32 --prune 20%" f32 1e-5
compare half "" f16 1e-3
# Calibrated: what was dropped, what made up for it, codes that fit the file's blocks, and vectors that were scaled with the weights.
head -c 6000 README.md > "$folder/text"
calibrated="--calibration-text $folder/text"
compare wanda "--prune wanda:50% $calibrated" f32 1e-5
compare sparsegpt "--prune sparsegpt:2:4 $calibrated" f16 1e-3
compare gptq "--format gptq:q4g32 $calibrated" f32 1e-5
compare both "--prune wanda:50% --format awq:q8g32 $calibrated" q8_0 1e-4

cp "$model" "$folder/own.gguf"
"$program" export-model "$folder/own.gguf" -o "$folder/own.gguf" 2> "$folder/error" && complain "a model was written over itself"
grep -q 'the model itself' "$folder/error" || complain "no word of a model that is written over itself"
cmp -s "$model" "$folder/own.gguf" || complain "the model was damaged"
"$program" export-model "$model" -o "$folder/x.gguf" --type q5_k 2> "$folder/error" && complain "an unknown type was taken"
grep -q 'f32, f16, q8_0 or q4_0' "$folder/error" || complain "no word of the known types"
exit $status
