#!/usr/bin/env bash
# Builds the operator's image from the Dockerfile, with what is there and answers: docker, podman or
# buildah. From `make image`; the variables and what they default to:
#
#   IMAGE            configbuild-operator:dev
#   PYTHON           3.13, the Python of the base
#   BASE             the base itself, for example docker.io/library/python@sha256:…
#   COMPILER         set: with gcc, g++ and C headers, for configs that have to compile
#   PACKAGES         other packages of Debian's
#   CONTAINER_TOOL   docker, podman or buildah
#   PIP_INDEX_URL    where the locked wheels come from; pip's own index
#
# Further arguments go to the tool's build command.
set -euo pipefail
cd "$(dirname "$0")/../.."

image=${IMAGE:-configbuild-operator:dev}
packages=${PACKAGES:-}
[[ -z ${COMPILER:-} ]] || packages+=" gcc g++ libc6-dev"

answers() {
  case $1 in
    docker | podman) "$1" info ;; # docker's client is there without its daemon, now and then
    buildah) buildah --version ;;
    *) return 1 ;;
  esac > /dev/null 2>&1
}

tool=${CONTAINER_TOOL:-}
if [[ -n $tool ]]; then
  answers "$tool" || { echo "CONTAINER_TOOL=$tool is not there, or does not answer" >&2; exit 1; }
else
  for tool in docker podman buildah none; do
    ! answers "$tool" || break
  done
fi
if [[ $tool == none ]]; then
  cat >&2 << 'END'
No image can be built: neither docker, podman nor buildah is there and answers (`docker info`).
On Debian: apt-get install buildah
END
  exit 1
fi

build=(build)
[[ $tool != buildah ]] || build=(bud --layers)
arguments=(
  --build-arg "VERSION=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)"
  --build-arg "REVISION=$(git describe --always --dirty --abbrev=40 --exclude '*' 2> /dev/null || echo unknown)"
)
[[ -z ${PYTHON:-} ]] || arguments+=(--build-arg "PYTHON=$PYTHON")
[[ -z ${BASE:-} ]] || arguments+=(--build-arg "BASE=$BASE")
[[ -z $packages ]] || arguments+=(--build-arg "PACKAGES=$packages")
# By its name alone: the tool takes the value from the environment.
[[ -z ${PIP_INDEX_URL:-} ]] || arguments+=(--build-arg PIP_INDEX_URL)

echo "building $image with $tool"
"$tool" "${build[@]}" "${arguments[@]}" --tag "$image" "$@" .
