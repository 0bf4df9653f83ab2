#!/usr/bin/env bash
# Checks the layout of our C++ files; with --fix repairs it. Files that are new and not ignored count, too.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=(--dry-run --Werror)
[[ ${1:-} == --fix ]] && mode=(-i)

# Into a file, so that a failure of git is one of this script: a check of nothing must not pass.
list=$(mktemp)
trap 'rm -f "$list"' EXIT
git ls-files -z --cached --others --exclude-standard --deduplicate -- '*.cc' '*.h' >"$list"

files=()
while IFS= read -r -d '' file; do
  # A file that git still lists may have been removed from the work tree.
  [[ -f $file ]] && files+=("$file")
done <"$list"

(( ${#files[@]} > 0 )) || { echo "format: there are no files to check." >&2; exit 1; }
if ! printf '%s\0' "${files[@]}" | xargs -0 -n 50 -P "$(nproc)" clang-format-19 "${mode[@]}"; then
  echo "format: repair it with tools/check_format.sh --fix" >&2
  exit 1
fi
echo "format: ${#files[@]} files are well."
