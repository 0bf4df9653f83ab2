#!/usr/bin/env bash
# Prints how much of src/ the tests went through, after GBGREG_PRESET=coverage ./test. Arguments go to llvm-cov report:
# files, or options such as --show-functions.
set -euo pipefail
shopt -s inherit_errexit

build=$(cd "$(dirname "${BASH_SOURCE[0]}")/../build/coverage" && pwd)
find "$build/profiles" -name '*.profraw' >"$build/profiles.txt"
llvm-profdata-19 merge -sparse --input-files="$build/profiles.txt" -o "$build/all.profdata"

programs=()
for program in "$build"/bin/*_test; do programs+=("-object=$program"); done
llvm-cov-19 report "$build/bin/gbgreg" "${programs[@]}" -instr-profile="$build/all.profdata" \
  -ignore-filename-regex='(_test\.cc|/usr/)' "$@"
