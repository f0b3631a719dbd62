#!/usr/bin/env bash
# Many clients at once against one server and one helper, each with a key of its own: are all served, how fast
# beside `local`, and how much memory does it take? Too long for CI.
#
#   tests/load/run.sh PLANS IMAGES [CLIENTS] [EACH]
#
# PLANS is a folder that `trefoil compile` wrote, IMAGES an array (.npy) of at least EACH images. The programs are
# those of the folder that TREFOIL_PROGRAMS names, or of target/release, built here.
set -euo pipefail
here="$(cd "$(dirname "$0")/../.." && pwd)"
plans="$(realpath "$1")"
images="$(realpath "$2")"
clients="${3:-100}"
each="${4:-20}"
work="$(mktemp -d)"
trap 'kill "${server:-}" "${helper:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
programs="${TREFOIL_PROGRAMS:-}"
if [ -z "$programs" ]; then
    (cd "$here" && cargo build --release --locked --workspace --bins --quiet)
    programs="$here/target/release"
fi
trefoil="$programs/trefoil"
party="$programs/trefoil-party"

names=()
for n in $(seq "$clients"); do names+=(--client "client$n"); done
"$trefoil" deploy "$plans" --server 127.0.0.1:7991 --helper 127.0.0.1:7992 "${names[@]}" -o "$work/d" >/dev/null
serve() {
    "$party" serve --config "$work/d/$1/party.toml" --listen "127.0.0.1:$2" --operations "127.0.0.1:$3" \
        --queue "$clients" --queue-time 3600 "${@:4}" >"$work/$1.out" 2>"$work/$1.log" &
}
serve helper 7992 9992
helper=$!
serve server 7991 9991 --session-memory 100MB --sessions $(($(nproc) + 1))
server=$!
for role in helper server; do
    until grep -q '^operations on' "$work/$role.out"; do
        kill -0 "${!role}" || { cat "$work/$role.log"; exit 1; }
        sleep 0.1
    done
done

total=$((clients * each))
echo "local: $each images to warm up, then as many as all clients have"
seconds() { date +%s.%N; }
"$party" local --plans "$plans" --data "$images" --images "$each" --quiet >/dev/null
start="$(seconds)"
"$party" local --plans "$plans" --data "$images" --images "$each" --repeat "$clients" --quiet >"$work/local.txt"
local_seconds="$(echo "$(seconds) - $start" | bc)"

start="$(seconds)"
pids=()
for n in $(seq "$clients"); do
    "$party" client --config "$work/d/clients/client$n/party.toml" --data "$images" --images "$each" --quiet \
        --timeout 3600 --report "$work/$n.json" >/dev/null 2>"$work/$n.err" &
    pids+=($!)
done
failed=0
for pid in "${pids[@]}"; do wait "$pid" || failed=$((failed + 1)); done
client_seconds="$(echo "$(seconds) - $start" | bc)"
ran="$(curl -fs http://127.0.0.1:9991/metrics | sed -n 's/^trefoil_inferences_total{.*phase="run".*} //p' | paste -sd+ | bc)"
memory() { sed -n 's/^VmHWM:[[:space:]]*//p' "/proc/$1/status"; }
echo "clients      $clients at once, $each images each; $failed failed"
echo "inferences   $ran of $total"
echo "local        $local_seconds s, $(echo "scale=2; $total / $local_seconds" | bc) a second"
echo "clients      $client_seconds s, $(echo "scale=2; $total / $client_seconds" | bc) a second"
echo "throughput   $(echo "scale=3; $local_seconds / $client_seconds" | bc) of local's"
echo "memory       server $(memory $server), helper $(memory $helper) at most"
[ "$failed" = 0 ] && [ "$ran" = "$total" ]
