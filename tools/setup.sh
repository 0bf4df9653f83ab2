#!/usr/bin/env bash
# Prepares this machine: Debian packages, the engine and the demo models. Does nothing, and needs no network, when all is there.
#
#   tools/setup.sh            what ./run needs
#   tools/setup.sh gpu        … and what the engine's module for a GPU needs (packages-gpu.txt)
#   tools/setup.sh test       … and what ./test needs (packages-test.txt, tests/clients/package.json)
#   tools/setup.sh bench      … and what the benchmarks need (packages-bench.txt)
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${GBGREG_CACHE:-${XDG_CACHE_HOME:-${HOME:?Set HOME or GBGREG_CACHE, so that the engine and the models can be kept somewhere.}/.cache}/gbgreg}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
export GBGREG_CACHE=$cache
# shellcheck source=tools/step.sh
source "$here/step.sh"

die() { printf '%s\n' "$@" >&2; exit 1; }

# Prints the lines of the lists that name a package, without comments and blanks: "name" or "name|other|third".
wanted_packages() {
  local list lists=("$here/packages.txt")
  for list in "$@"; do
    [[ -f $here/packages-$list.txt ]] || die "There is no list of packages called '$list'."
    lists+=("$here/packages-$list.txt")
  done
  sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "${lists[@]}"
}

# Prints the wanted packages of which no alternative is installed. One dpkg-query for all of them: this runs at every start.
missing_packages() {
  local wanted installed line name
  wanted=$(wanted_packages "$@")
  # shellcheck disable=SC2046  # Splitting into names is the point.
  installed=" $(dpkg-query -W -f='${db:Status-Status}:${Package} ' $(tr '|' ' ' <<<"$wanted") 2>/dev/null || true) "
  while read -r line; do
    for name in ${line//|/ }; do
      [[ $installed == *" installed:$name "* ]] && continue 2
    done
    printf '%s\n' "$line"
  done <<<"$wanted"
}

# The first alternative that this distribution offers, or the first of all so that apt-get names it in its complaint.
available_name() {
  local name
  for name in ${1//|/ }; do
    if apt-cache show --no-all-versions "$name" >/dev/null 2>&1; then
      printf '%s\n' "$name"
      return
    fi
  done
  printf '%s\n' "${1%%|*}"
}

as_root() {
  if (( EUID == 0 )); then "$@"; else sudo "$@"; fi
}

# Of the lists apt-get does not wait for the lock, which a new machine's own daily update may hold for a while.
apt_update() {
  local attempt
  for (( attempt = 1; attempt <= 6; ++attempt )); do
    as_root apt-get update && return
    echo "attempt $attempt failed; another in 5 s"
    sleep 5
  done
  return 1
}
apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
}

install_packages() {
  local missing=("$@") line names=()
  command -v apt-get >/dev/null || die "This is not Debian or Ubuntu, so packages cannot be installed for you." \
    "Install what these Debian packages hold, then set GBGREG_SKIP_PACKAGES=1 and run this again:" "  ${missing[*]}"
  if (( EUID != 0 )); then
    command -v sudo >/dev/null || die "These packages are missing: ${missing[*]}" \
      "Neither are you root nor is there sudo. As root: apt-get update && apt-get install --no-install-recommends ${missing[*]%%|*}"
    # Asked here because the steps below have no standard input.
    sudo -n true 2>/dev/null || { echo "Installing packages needs your password."; sudo -v; }
  fi
  local advice="Is the network up, and no other apt running? By hand, as root: apt-get update && apt-get install --no-install-recommends ${missing[*]%%|*}"
  step "$cache/logs/apt-update.log" "packages: reading the lists" "$advice" apt_update
  for line in "${missing[@]}"; do names+=("$(available_name "$line")"); done
  echo "packages: installing ${names[*]}"
  step "$cache/logs/apt-install.log" "packages: installing ${#names[@]} and what they need" "$advice" apt_install "${names[@]}"
}

# The stamp holds the generator's checksum: another generator makes the models anew. They are cheap and always the same.
make_demo_models() {
  local stamp=$cache/models/demo.made sum
  sum=$(cat "$here/make_demo_models.mjs" "$here/gguf.mjs" | sha256sum)
  [[ $(cat "$stamp" 2>/dev/null) == "$sum" && -f $cache/models/demo-embedding.gguf ]] && return
  step "$cache/logs/demo-models.log" "demo models: writing into $cache/models" \
    "Node.js 18 or newer is needed (this is $(node --version)), and 30 MB of space." \
    node "$here/make_demo_models.mjs" --vocab-dir "$1/vocab" --out "$cache/models"
  printf '%s\n' "$sum" >"$stamp"
}

for program in node npm; do
  command -v "$program" >/dev/null || die "$program is missing. gbgreg gets its engine's source through npm and makes its demo" \
    "models with Node.js 18 or newer: install both (on Debian: apt-get install nodejs npm) and run this again."
done
if [[ -z ${GBGREG_SKIP_PACKAGES:-} ]]; then
  missing_lines=$(missing_packages "$@")
  mapfile -t missing < <(printf '%s' "$missing_lines")
  (( ${#missing[@]} == 0 )) || install_packages "${missing[@]}"
fi
engine=$("$here/build_engine.sh")
make_demo_models "$engine"
[[ " $* " != *" test "* ]] || "$here/install_clients.sh" >/dev/null
