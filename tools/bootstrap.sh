#!/usr/bin/env bash
# Set-up behind `make demo` and `make test`: system packages, .venv, Python packages. Safe to run again.
# PYTHON=/path/to/python chooses the interpreter (3.10 or newer).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'set-up: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

find_python() {
    local name
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            printf '%s' "$name"
            return
        fi
    done
}

has_header() { printf '#include <stdio.h>\n#include <%s>\n' "$1" | c++ -E -x c++ - >/dev/null 2>&1; }
has_library() { pkg-config --exists "$1" 2>/dev/null; }
has_uv() { uv --version >/dev/null 2>&1; }

# What is missing is found out by trying, not by asking a package manager, so that other systems pass too.
# Sets `needed` (nothing works without) and `wanted` (only the ffcv backend needs them).
look_for_packages() {
    needed=() wanted=()
    python=$(find_python)
    command -v c++ >/dev/null || needed+=(g++)
    has_header jpeglib.h || needed+=(libjpeg-dev)
    if [ -z "$python" ]; then
        needed+=(python3 python3-venv)
        wanted+=(python3-dev)
    else
        has_uv || [ -x .venv/bin/python ] || "$python" -c 'import ensurepip, venv' 2>/dev/null ||
            needed+=("$(basename "$python")-venv")
        "$python" -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' 2>/dev/null ||
            wanted+=("$(basename "$python")-dev")
    fi
    command -v pkg-config >/dev/null || wanted+=(pkg-config)
    has_library libturbojpeg || wanted+=(libturbojpeg0-dev)
    has_library opencv4 || wanted+=(libopencv-dev)
}

apt_install() {
    local sudo=()
    command -v apt-get >/dev/null || return 1
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2>/dev/null || return 1
        sudo=(sudo -n)
    fi
    say "installing system packages: $*"
    ${sudo[@]+"${sudo[@]}"} apt-get update -qq || say "the package lists could not all be brought up to date; going on"
    ${sudo[@]+"${sudo[@]}"} env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 "$@" >/dev/null
}

look_for_packages
if [ ${#needed[@]} -gt 0 ] || [ ${#wanted[@]} -gt 0 ]; then
    apt_line="sudo apt-get update && sudo apt-get install -y ${needed[*]} ${wanted[*]}"
    apt_install ${needed[@]+"${needed[@]}"} ${wanted[@]+"${wanted[@]}"} ||
        { [ ${#needed[@]} -gt 0 ] && apt_install "${needed[@]}"; } || true
    look_for_packages
    [ -n "$python" ] || die "Python 3.10 or newer is needed; install it, or name it: PYTHON=/path/to/python make ..."
    [ ${#needed[@]} -eq 0 ] || die "system packages are missing; run this and try again:  $apt_line"
fi

if ! [ -x .venv/bin/python ]; then
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    if has_uv; then
        uv venv --quiet --python "$(command -v "$python")" .venv
    else
        "$python" -m venv .venv
        .venv/bin/python -m pip install --quiet --disable-pip-version-check uv ||
            say "uv is not to be had; plain pip does the same, slower"
    fi
fi

if has_uv; then
    installer=(uv pip install --python .venv/bin/python)
elif .venv/bin/uv --version >/dev/null 2>&1; then
    installer=(.venv/bin/uv pip install --python .venv/bin/python)
else
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip
    installer=(.venv/bin/python -m pip install --disable-pip-version-check)
fi

base="train,bench,dev"
optional=(frameworks dali ffcv)
if [ ${#wanted[@]} -gt 0 ]; then
    say "continuing without the ffcv backend; to have it:  $apt_line  &&  make clean"
    optional=(frameworks dali)
fi
say "installing Python packages (the first time some 5 GB, most of it torch and CUDA)"
all="$base$(printf ',%s' "${optional[@]}")"
if ! "${installer[@]}" -e ".[$all]"; then
    say "not everything could be installed; trying without the optional packages"
    "${installer[@]}" -e ".[$base]" || die "the Python packages could not be installed; the lines above say why"
    for extra in "${optional[@]}"; do
        "${installer[@]}" -e ".[$extra]" >".venv/set-up-$extra.log" 2>&1 ||
            say "[$extra] could not be installed (.venv/set-up-$extra.log says why); all else works"
    done
fi
