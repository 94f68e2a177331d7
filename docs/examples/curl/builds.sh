#!/usr/bin/env bash
# Asks for a build and looks at it. URL, and TOKEN where one is needed, are set outside.
set -euo pipefail

# region: set-up
api=$URL/api/v1
configs=$api/workspaces/team-a/configs
call=(curl --silent --show-error --fail-with-body)
[[ -z ${TOKEN:-} ]] || call+=(--header "Authorization: Bearer $TOKEN")
# endregion

# region: ask
"${call[@]}" --json '{}' "$configs/invoices/builds"
# endregion
echo

# region: wait
build=$("${call[@]}" --json '{"options": {"wait": true}}' "$configs/invoices/builds")
# endregion
echo "$build"
id=$(sed -E 's/.*"id":"(build_[^"]+)".*/\1/' <<< "$build")

# region: stream
"${call[@]}" --no-buffer --json '{"stream": true}' "$configs/invoices/builds"
# endregion

# region: force
"${call[@]}" --json '{"options": {"force": true, "wait": true}}' "$configs/invoices/builds"
# endregion
echo

# region: list
"${call[@]}" "$configs/invoices/builds"
# endregion
echo

# region: get
"${call[@]}" "$api/builds/$id"
# endregion
echo

# region: logs
after_id=0
while [[ $after_id != null ]]; do
  page=$("${call[@]}" "$api/builds/$id/logs?after_id=$after_id&limit=1000")
  echo "$page"
  after_id=$(sed -E 's/.*"next_after_id":([0-9]+|null)\}$/\1/' <<< "$page")
done
# endregion

# region: cancel
"${call[@]}" --request POST "$api/builds/$id/cancel"
# endregion
echo
