#!/bin/sh
# Plays the drill N times (100) and adds up what the service under load felt.
#   benches/drill.sh target/release/skewer [N] [what `skewer drill` takes, else --rate 200]
# Prints served and failed requests in total, and the median and the longest time from the leak to the
# proof, in seconds. Ends with 1 if a request failed or a drill did.
set -eu
skewer=$1
times=${2:-100}
[ $# -lt 2 ] && shift || shift 2
[ $# -gt 0 ] || set -- --rate 200
out=$(mktemp)
trap 'rm -f "$out"' EXIT
bad=0
n=0
while [ "$n" -lt "$times" ]; do
    n=$((n + 1))
    "$skewer" drill "$@" --seed "$n" | sed -n 's/^7\. //p' >>"$out" || true
done
[ "$(wc -l <"$out")" -eq "$times" ] || bad=1
awk '{ print $6 }' "$out" | sort -n | awk '{ t[NR] = $1 } END { printf "time: median %s s, longest %s s\n", t[int((NR + 1) / 2)], t[NR] }'
awk -v of="$times" '{ served += $1; failed += $4 } END { printf "%d of %d drills, %d requests served, %d failed\n", NR, of, served, failed; exit failed > 0 }' "$out" || bad=1
exit $bad
