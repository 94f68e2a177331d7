#!/bin/sh
# Runs the plugin from its Python package, in this version; uv and pipx keep it in their caches.
set -eu
package="configbuild-operator==VERSION"
program=$(basename "$0")
if command -v uv >/dev/null 2>&1; then
  exec uv tool run --quiet --from "$package" "$program" "$@"
fi
if command -v pipx >/dev/null 2>&1; then
  exec pipx run --quiet --spec "$package" "$program" "$@"
fi
echo "error: kubectl configbuild needs uv or pipx, or: pip install $package" >&2
exit 2
