#!/bin/sh
# Stands in uv's place: the same verbs, a real venv, and nothing but shell. The config's install
# stops at the FIFO `gate` beside this script, if there is one; a package `broken` has none.
set -eu
here=$(dirname "$0")
for last in "$@"; do :; done

site_packages() {
    while [ "$1" != --python ]; do shift; done
    for found in "$(dirname "$2")"/../lib/*/site-packages; do echo "$found"; done
}

install() {
    name=${1%%==*} version=${1##*==}
    module=$(echo "$name" | tr - _)
    mkdir -p "$2/$module" "$2/$module-$version.dist-info"
    echo "__version__ = '$version'" > "$2/$module/__init__.py"
    printf 'Metadata-Version: 2.1\nName: %s\nVersion: %s\n' "$name" "$version" \
        > "$2/$module-$version.dist-info/METADATA"
    echo "$module/__init__.py,," > "$2/$module-$version.dist-info/RECORD"
    echo "installed $1"
}

case "$1 $2" in
    "venv --no-project")
        minor=$("$4" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        mkdir -p "$5/bin" "$5/lib/$minor/site-packages"
        ln -s "$4" "$5/bin/python"
        echo "home = $(dirname "$4")" > "$5/pyvenv.cfg"
        ;;
    "pip install")
        case "$last" in
            broken==*) echo "no package broken" >&2; exit 3 ;;
            ade-config==*)
                echo "résolving $last"
                if [ -p "$here/gate" ]; then read -r _ < "$here/gate"; fi
                ;;
        esac
        install "$last" "$(site_packages "$@")"
        ;;
    "pip compile") ;; # it has no index to tell of
    "pip check") echo "all is compatible" >&2 ;;
    *) echo "not a verb of uv's stand-in: $*" >&2; exit 2 ;;
esac
