#!/usr/bin/env bash
# Seeded defects: each breaks a rule of the protocol while results stay right, at all parties alike. Every
# one must fail a test. They live in a patch, which is applied to a copy of the sources: no build that is
# given away can have them.
#
#   tests/mutants/run.sh              all of them; half an hour on two cores
#   tests/mutants/run.sh 36 110 216   these
#   tests/mutants/run.sh --sample 8   that many, spread over the list; others for another commit
#   tests/mutants/run.sh --check      whether the patch still applies
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "${1:-}" = --check ]; then
    exec git apply --check tests/mutants/defects.patch
fi
mapfile -t numbers < <(tr ' ' '\n' <tests/mutants/defects.txt)
if [ "${1:-}" = --sample ]; then
    # The commit says where to begin, so that a run can be repeated, and in time all have their turn.
    commit=$(git rev-parse HEAD 2>/dev/null || echo 000000)
    all=("${numbers[@]}")
    numbers=()
    for ((i = 0; i < $2; i++)); do
        numbers+=("${all[(16#${commit:0:6} + i * ${#all[@]} / $2) % ${#all[@]}]}")
    done
elif [ $# -gt 0 ]; then
    numbers=("$@")
fi
# One target folder with everything else: what the copy is built on is built already. It stands at the same
# place each time, with the times of the files, so that a second run builds little.
target=${CARGO_TARGET_DIR:-$PWD/target}
copy=$target/mutants
rm -rf "$copy" && mkdir -p "$copy"
git ls-files -z | xargs -0 cp --parents -p -t "$copy"
(cd "$copy" && git init -q && git apply tests/mutants/defects.patch)
export CARGO_TARGET_DIR=$target
if ! (cd "$copy" && cargo test -p trefoil-runtime --lib --no-run) 2>"$copy/build.log"; then
    cat "$copy/build.log"
    exit 1
fi
tests=$(sed -n 's/.*Executable.*(\(.*\))$/\1/p' "$copy/build.log")

# Prints the tests that fail, or that the run did not end; nothing if all pass.
failed() { # number, filters
    local number=$1 code=0
    shift
    (cd "$copy/runtime" && MUTANT=$number timeout 120 "$tests" "$@") >"$copy/run.log" 2>&1 || code=$?
    sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$copy/run.log"
    case $code in
    0 | 101) ;;
    124) echo "time" ;;
    *) echo "an end with code $code" ;;
    esac
}

# What kind of test found it: the proof, the diagonal, a regression on views, the panic of a party that
# would draw what is not declared, or another test.
kind() { # name of a test
    case $1 in
    *diagonal*) echo "the diagonal" ;;
    *attacks*) echo "an attack" ;;
    *streams*) echo "the declarations" ;;
    session::* | *::session::*) echo "a session" ;;
    time | "an end with"*) echo "its end" ;;
    *) echo "a test" ;;
    esac
}

if [ -n "$(failed 0)" ]; then
    echo "without a defect: $(failed 0 | tr '\n' ' ')"
    exit 1
fi
missed=0
for number in "${numbers[@]}"; do
    # Quick ones first; some defects have the parties of a session wait for each other.
    caught=$(failed "$number" diagonal)
    [ -n "$caught" ] || caught=$(failed "$number" session:: prg:: wiped pool::)
    [ -n "$caught" ] || caught=$(failed "$number")
    if [ -n "$caught" ]; then
        first=$(head -n 1 <<<"$caught")
        echo "$number caught by $(kind "$first"): $first (tests that fail: $(wc -l <<<"$caught"))"
    else
        echo "$number MISSED"
        missed=$((missed + 1))
    fi
done
exit $((missed > 0))
