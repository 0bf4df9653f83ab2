# shellcheck shell=bash
# Progress for long steps. Source this file, then:
#
#   step LOG "what is being done" "what to do if it fails" command [argument…]
#
# The command's whole output goes to LOG. A step that is over within half a second prints nothing. A longer one prints a
# line when it starts, the elapsed time while it runs (rewritten in place on a terminal, a line every 30 s otherwise) and a
# line with the seconds when it ends. On failure the last 30 lines of the log follow, with its path and the advice.
#
# A function given as the command runs in a subshell under `set -e`, so its first failing line fails the step.

# Prints the running time until its standard input closes, which is when the step ends (or when the script dies).
step_clock() {
  local title=$1 log=$2 start=$SECONDS tick=30 status=0 progress=
  [[ -t 1 ]] && tick=1
  read -rt 0.5 || status=$?
  (( status > 128 )) || return 0
  printf '%s …\n' "$title"
  while status=0; read -rt "$tick" || status=$?; (( status > 128 )); do
    # Ninja's own counter, such as [12/345], says more than the clock alone.
    progress=$(tail -c 400 "$log" 2>/dev/null | grep -ao '^\[[0-9]*/[0-9]*\]' | tail -n 1) || progress=
    if [[ -t 1 ]]; then
      printf '\r  %d s %s \033[K' "$((SECONDS - start))" "$progress"
    else
      printf '  … %d s %s\n' "$((SECONDS - start))" "$progress"
    fi
  done
  [[ -t 1 ]] && printf '\r\033[K'
  printf '%s: ended after %d s\n' "$title" "$((SECONDS - start))"
}

step() {
  local log=$1 title=$2 advice=$3 status=0 clock clock_pid
  shift 3
  mkdir -p "$(dirname "$log")"
  : >"$log"
  exec {clock}> >(step_clock "$title" "$log")
  clock_pid=$!
  # Not `if (…)`: a subshell that is tested ignores its own `set -e`.
  set +e
  (set -e; exec {clock}>&-; "$@") >"$log" 2>&1 </dev/null
  status=$?
  set -e
  exec {clock}>&-
  wait "$clock_pid" || true
  (( status == 0 )) && return
  {
    printf '\nFAILED (status %d): %s. The last lines of %s:\n\n' "$status" "$title" "$log"
    tail -n 30 "$log" | sed 's/^/  | /'
    printf '\nThe whole output is in %s\n%s\n' "$log" "$advice"
  } >&2
  return "$status"
}
