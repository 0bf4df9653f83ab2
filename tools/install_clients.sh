#!/usr/bin/env bash
# Installs the official clients that the end-to-end tests use (tests/clients/package.json) once into the cache and prints
# the folder they are in.
#
# The folder is named after the lock file, so each version of the tests finds its own, and a clean clone finds them there.
set -euo pipefail
shopt -s inherit_errexit

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${GBGREG_CACHE:-${XDG_CACHE_HOME:-${HOME:?Set HOME or GBGREG_CACHE, so that the clients can be kept somewhere.}/.cache}/gbgreg}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
wanted=$here/../tests/clients
sum=$(sha256sum <"$wanted/package-lock.json")
clients=$cache/clients/${sum%% *}
# shellcheck source=tools/step.sh
source "$here/step.sh"

# Everything is put together beside the final place and appears there by a rename: never half a client.
install_clients() {
  local stage=$clients.stage
  rm -rf "$stage" && mkdir -p "$stage"
  cp "$wanted/package.json" "$wanted/package-lock.json" "$stage/"
  cd "$stage"
  # npm's own patience would leave someone without a network waiting for over a minute.
  npm ci --prefer-offline --no-audit --no-fund --ignore-scripts --fetch-retry-mintimeout=2000 --fetch-retry-maxtimeout=5000
  mv -T "$stage" "$clients"
}

if [[ ! -d $clients ]]; then
  mkdir -p "$cache/clients"
  # Two runs at once would otherwise install into the same folder; the second waits and then finds the work done.
  exec {lock}>"$cache/clients/lock"
  flock "$lock"
  if [[ ! -d $clients ]]; then
    step "$cache/logs/clients.log" "clients: installing into $clients" \
      "The clients could not be installed. Check the network and npm's registry setting, then run this again." \
      install_clients >&2
  fi
fi
printf '%s\n' "$clients"
