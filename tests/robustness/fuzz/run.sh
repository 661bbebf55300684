#!/usr/bin/env bash
# Builds and runs what no unit test can: run.sh fuzz|betons|threads [SECONDS]
#   fuzz      coverage-guided mutation of every door of the kernel that bytes from a file enter, under ASan and UBSan
#   betons    the same for what Python reads of a beton: betons.py, by atheris where that is installed
#   threads   the pool's threads under ThreadSanitizer
# With clang++, libFuzzer drives the same target; else driver.cpp does, on g++'s edge coverage.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
what=${1:-fuzz} seconds=${2:-30} out=$root/build/fuzz/${1:-fuzz}
kernel=("$root"/loaders/native/*.cpp "$root"/loaders/native/*/*.cpp)
flags=("-I$root/loaders/native" -std=c++17 -O1 -g -ffp-contract=off -fwrapv -pthread -fno-omit-frame-pointer)
mkdir -p "$out"

compile() {  # compile FLAG... -- SOURCE...: objects in $out, in parallel
  local options=()
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} sh -c 'c=$1; shift; "$c" "$@" -c {} -o "$0/$(basename {} .cpp).o"' \
    "$out" "$compiler" "${flags[@]}" "${options[@]}"
}

corpus() {  # a file a kind, behind 16 bytes that choose door and arguments
  (cd "$root" && "${PYTHON:-python}" - "$out/corpus") <<'PY'
import sys
from pathlib import Path
from tests.robustness import corpus
from loaders.plan.records import table_bytes
place = Path(sys.argv[1])
place.mkdir(exist_ok=True)
for k, data in enumerate(corpus.corpus()):
    for door in (0, 1, 2):
        (place / f"file{k}-{door}").write_bytes(bytes([door, 0, 0, 3, 0, 5, 0, 40, 0, 30, 200, k % 4, 17 * k % 256, 40 * k % 256, k % 5, 3 * k % 256]) + data)
for k, (data, rows, _, _) in enumerate(corpus.pyramid_records()):
    start = bytes([2, rows, 0, 0, 0, 0, 0, 20, 60, 90, 120, k % 4, 31 * k % 256, 60 * k % 256, k % 7, 5 * k % 256])
    (place / f"record{k}").write_bytes(start + data[table_bytes(rows) - 4 * rows :])
(place / "plain.jpg").write_bytes(corpus.make("restarts", 320, 240))
PY
}

if [ "$what" = betons ]; then
  cd "$root"
  if ! "${PYTHON:-python}" -c 'import atheris' 2> /dev/null; then
    echo 'betons: skipped, needs atheris (pip install -e .[fuzz])' >&2
  else
    exec "${PYTHON:-python}" -m tests.robustness.fuzz.betons -max_total_time="$seconds"
  fi
elif [ "$what" = threads ]; then
  compiler=${CXX:-g++}
  compile -fsanitize=thread -- "${kernel[@]}" "$root/tests/robustness/fuzz/threads.cpp"
  "$compiler" -pthread -fsanitize=thread "$out"/*.o -ljpeg -o "$out/run"
  corpus
  TSAN_OPTIONS=halt_on_error=1 setarch -R "$out/run" "$out/corpus/plain.jpg" "$seconds"
elif command -v clang++ > /dev/null; then
  compiler=clang++
  compile -fsanitize=fuzzer-no-link,address,undefined -- "${kernel[@]}" "$root/tests/robustness/fuzz/target.cpp"
  clang++ -pthread -fsanitize=fuzzer,address,undefined "$out"/*.o -ljpeg -o "$out/run"
  corpus
  "$out/run" -max_total_time="$seconds" -max_len=65536 "$out/corpus"
else
  compiler=${CXX:-g++} checks=(-fsanitize=address,undefined -fno-sanitize-recover=all)
  compile "${checks[@]}" -fsanitize-coverage=trace-pc -- "${kernel[@]}"
  compile "${checks[@]}" -- "$root/tests/robustness/fuzz/target.cpp" "$root/tests/robustness/fuzz/driver.cpp"
  "$compiler" -pthread "${checks[@]}" "$out"/*.o -ljpeg -o "$out/run"
  corpus
  cd "$out" && ./run "$seconds" "${SEED:-0}" corpus/*
fi
