#!/usr/bin/env bash
# Prints the events of a build, from the first to the last: follow.sh BUILD_ID
set -euo pipefail
auth=()
[[ -z ${TOKEN:-} ]] || auth=(--header "Authorization: Bearer $TOKEN")

# region: follow
follow() {
  local build=$URL/api/v1/builds/$1 after_id=0 type='' line
  until [[ $type == build.completed ]]; do
    while IFS= read -r line; do                      # what a cut left of a line is dropped
      [[ $line =~ '"id":'([0-9]+) ]] || continue     # an empty line: the connection lives
      after_id=${BASH_REMATCH[1]}
      [[ $line =~ '"type":"'([a-z.]+)'"' ]] && type=${BASH_REMATCH[1]}
      printf '%s\n' "$line"
    done < <(curl --silent --no-buffer --fail "${auth[@]}" --keepalive-time 30 \
      "$build/events?follow=true&after_id=$after_id")
    [[ $type == build.completed ]] || may_go_on "$build" || return
  done
}

may_go_on() {  # not if the operator refuses; all else passes
  local status
  status=$(curl --silent --output /dev/null --write-out '%{response_code}' "${auth[@]}" "$1") ||
    true
  [[ $status != 4* ]] && sleep 1
}
# endregion

follow "$1"
