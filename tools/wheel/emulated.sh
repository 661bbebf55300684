#!/usr/bin/env bash
# The wheel for arm64 in an emulated environment: makes build/wheel/emulated/, an arm64 Python of Debian's with the newest
# wheel in dist/ and NumPy, Pillow, tqdm and pytest in it. Needs Debian or Ubuntu, and: apt install qemu-user-static.
#
# Usage: tools/wheel/emulated.sh ARGUMENTS    runs that Python with these arguments, in this folder.
#
# The packages of Debian are unpacked, not installed: this machine's apt stays as it is.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
place=$root/build/wheel/emulated
env=$root/build/wheel/env/bin/python
command -v qemu-aarch64-static >/dev/null || { echo "emulated: needs qemu; run: apt install qemu-user-static" >&2; exit 1; }

if ! [ -e "$place/.ready" ]; then
    rm -rf "$place"
    mkdir -p "$place/apt/lists/partial" "$place/apt/archives/partial" "$place/root"
    touch "$place/apt/status"
    options=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State::Lists=$place/apt/lists"
        -o "Dir::Cache=$place/apt" -o "Dir::State::status=$place/apt/status" -qq)
    apt-get "${options[@]}" update
    apt-get "${options[@]}" install -y --no-install-recommends --download-only python3-minimal libpython3-stdlib libstdc++6 libgomp1
    for package in "$place"/apt/archives/*.deb; do dpkg -x "$package" "$place/root"; done
    rm -rf "$place/apt"
    touch "$place/.ready"
fi

python() { qemu-aarch64-static -L "$place/root" -E PYTHONPATH="$place/site" "$(readlink -f "$place"/root/usr/bin/python3.*[0-9])" "$@"; }

wheel=$(ls -t "$root"/dist/efficienttrain-*_aarch64.whl | head -1)
if ! [ "$place/site/.ready" -nt "$wheel" ]; then
    rm -rf "$place/site"
    version=$(python -c 'import sys; print(*sys.version_info[:2], sep=".")')
    "$env" -m pip install --quiet --disable-pip-version-check --target "$place/site" --only-binary :all: \
        --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_17_aarch64 \
        --python-version "$version" numpy pillow tqdm pytest
    "$env" -m pip install --quiet --disable-pip-version-check --target "$place/site" --only-binary :all: \
        --platform manylinux_2_26_aarch64 --no-deps "$wheel"
    touch "$place/site/.ready"
fi
python "$@"
