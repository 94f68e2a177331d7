#!/bin/sh
# The sample build as a person would script it: the baseline of bench_warm_build.
#
# usage: warm_build.sh UV PYTHON OPERATOR_PYTHON STEPS WHEELS ENGINE CONFIG VENV SCRATCH KEPT
#
# WHEELS is a directory of wheels to install from; empty: the index. Run with the environment that
# commands of a real build get, whose HOME and TMPDIR lie below SCRATCH. KEPT is for bytecode; a build
# by force, which is what the benchmark compares with, takes none of an earlier one.
set -e
uv=$1 python=$2 operator_python=$3 steps=$4 wheels=$5 engine=$6 config=$7 venv=$8 scratch=$9 kept=${10}
index=${wheels:+"--no-index --find-links $wheels"}

# Wheels are built with the cache of the config, where a build of ours has compiled the tools.
own_uv=${kept%/*}/uv

# What a build begins with: copies of the sources that nobody else writes to.
mkdir -p "$HOME" "$TMPDIR" "$scratch/engine-wheel" "$scratch/config-wheel" "${venv%/*}"
rm -rf "$kept"
mkdir -p "$kept"
cp -R "$engine" "$scratch/engine"
cp -R "$config" "$scratch/config"
cd "$scratch"

"$uv" venv --no-project --python "$python" "$venv"

# shellcheck disable=SC2086 # index is several words
UV_CACHE_DIR=$own_uv \
  "$uv" build --wheel --no-sources --python "$python" $index --out-dir "$scratch/engine-wheel" "$scratch/engine"
# shellcheck disable=SC2086
"$uv" pip install --no-sources --python "$venv/bin/python" $index --no-build -- \
  "$scratch"/engine-wheel/*.whl

# The engine stays as it is when the config comes.
site=$(echo "$venv"/lib/python3.*/site-packages)
info=$(echo "$site"/ade_engine-*.dist-info)
version=$(sed -n 's/^Version: //p' "$info/METADATA")
sum=$(sha256sum "$info/RECORD")
echo "ade-engine==$version" >engine-hold.txt
echo "{\"name\": \"ade-engine\", \"version\": \"$version\", \"record_sha256\": \"${sum%% *}\"}" \
  >engine.json

# shellcheck disable=SC2086
UV_CACHE_DIR=$own_uv \
  "$uv" build --wheel --no-sources --python "$python" $index --out-dir "$scratch/config-wheel" "$scratch/config"
# shellcheck disable=SC2086
"$uv" pip install --no-sources --python "$venv/bin/python" $index \
  --constraints "$scratch/engine-hold.txt" --no-build -- "$scratch"/config-wheel/*.whl
"$python" -I -S -B "$steps/compile_bytecode.py" "$site" "$kept"

"$venv/bin/python" -I -B "$steps/verify_imports.py" "$scratch/engine.json" ade_engine ade_config
"$uv" pip check --python "$venv/bin/python"

mkdir "$scratch/lookup"
"$operator_python" -I -S -B "$steps/collect_metadata.py" "$site" "$scratch/metadata.json" \
  "$scratch/lookup/pins.txt" >packages.txt
# What the index said of the wheels; a venv without it is as good.
# shellcheck disable=SC2086
"$uv" pip compile -qq --offline --no-deps --no-build --no-sources --python "$python" $index \
  --no-header --output-file "$scratch/lookup/pylock.toml" "$scratch/lookup/pins.txt" || true
mkdir "$venv/ade-runtime"
mv packages.txt "$venv/ade-runtime/packages.txt"
mv metadata.json "$venv/ade-runtime/build.json"
cd /
rm -rf "$scratch"
