#!/usr/bin/env bash
# Runs clang-tidy over our own C++ files, skipping those that passed before and have not changed since (check_tidy.mjs).
# Needs a configured and built tree, because it reads its compile_commands.json and includes its generated headers.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${GBGREG_CACHE:-${XDG_CACHE_HOME:-${HOME:?Set HOME or GBGREG_CACHE, so that the engine and the models can be kept somewhere.}/.cache}/gbgreg}
exec node "$here/check_tidy.mjs" --root "$(dirname "$here")" --build "build/${GBGREG_PRESET:-release}" --cache "$cache/tidy" "$@"
