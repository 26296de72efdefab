#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs the Debian packages that llmsweep needs and that are missing. With nothing missing it does nothing and needs no rights.
#
#   scripts/setup.sh           what building and running needs
#   scripts/setup.sh --test    also what the tests need
#   scripts/setup.sh --clang   also clang and its OpenMP, which ThreadSanitizer understands
#   scripts/setup.sh --check   installs nothing; exits 1 and names what is missing
set -euo pipefail

packages=(gcc libc6-dev make pkg-config
          libhwloc-dev libpapi-dev libopenblas-openmp-dev libdnnl-dev libopenmpi-dev openmpi-bin
          libgsl-dev libinih-dev libjansson-dev libpcre2-dev
          gnuplot-nox fonts-dejavu-core wordnet-base)
test_packages=(libcmocka-dev chromium poppler-utils valgrind python3)

mode=install
for argument in "$@"; do
    case $argument in
    --test) packages+=("${test_packages[@]}") ;;
    --clang) packages+=(clang libomp-dev) ;;
    --check) mode=check ;;
    *) echo "setup.sh: unknown option '$argument' (known: --test, --clang, --check)" >&2; exit 2 ;;
    esac
done

if ! command -v dpkg-query > /dev/null; then
    echo "setup.sh: this is not a Debian system; install the equivalents of: ${packages[*]}" >&2
    exit 2
fi

missing=()
for package in "${packages[@]}"; do
    status=$(dpkg-query -W -f='${Status}' "$package" 2> /dev/null || true)
    [ "$status" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "$mode" = check ]; then
    echo "setup.sh: missing: ${missing[*]} (cure: scripts/setup.sh)" >&2
    exit 1
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
    if command -v sudo > /dev/null && { sudo -n true 2> /dev/null || [ -t 0 ]; }; then
        as_root=(sudo)
    else
        echo "setup.sh: packages are missing and this user may not install them. As root, run:" >&2
        echo "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
        exit 2
    fi
fi
echo "setup.sh: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q >&2
"${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
