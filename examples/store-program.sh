#!/bin/sh
# A store program for skewer (protocol skewer.store/1, described in src/store/program.rs), to begin
# one of your own with. It keeps its slots as files in the directory $1; a real one would call the
# command line of a password manager instead. Values come on standard input, never as arguments.
set -eu
umask 077
directory=$1
read -r request

# The text of a member, escapes and all; each stands once in a request.
member() { printf '%s\n' "$request" | sed -En 's/.*"'"$1"'":"(([^"\\]|\\.)*)".*/\1/p'; }
fail() { printf '{"error":"%s","reason":"%s"}\n' "$1" "$2"; exit 0; }

slot=$directory/$(member slot)
version=$(cat "$slot.version" 2>/dev/null || true)

case $(member operation) in
describe)
  cat <<'END'
{"place":"files of the example program","two_versions":true,"reads_back":true,"gives_back":true,"check_and_set":"narrow","locks":true,"rights":["write the directory"]}
END
  ;;
get)
  [ -n "$version" ] || { echo '{"held":null}'; exit 0; }
  note=$(cat "$slot.note" 2>/dev/null || true)
  printf '{"held":{"version":"%s","value":"%s","note":%s}}\n' \
    "$version" "$(cat "$slot.value")" "${note:-null}"
  ;;
put)
  [ "$(member expect)" = "$version" ] || fail conflict "$version"
  counter=$(($(cat "$directory/counter" 2>/dev/null || echo 1) + 1))
  echo "$counter" >"$directory/counter"
  printf '%s' "$(member value)" >"$slot.value"
  printf '%s\n' "$request" | sed -En 's/.*"note":(\{[^}]*\}).*/\1/p' >"$slot.note"
  echo "$counter" >"$slot.version"
  printf '{"version":"%s"}\n' "$counter"
  ;;
remove)
  [ "$(member expect)" = "$version" ] || [ -z "$version" ] || fail conflict "$version"
  rm -f "$slot.version" "$slot.value" "$slot.note"
  echo '{}'
  ;;
*) fail refused 'no such operation' ;;
esac
