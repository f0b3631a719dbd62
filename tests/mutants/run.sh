#!/usr/bin/env bash
# Seeded defects: each breaks a rule of the protocol while results stay right, at all parties alike. Every
# one must fail a test. They live in a patch, which is applied to a copy of the sources: no build that is
# given away can have them.
#
#   tests/mutants/run.sh              all of them; some minutes on two cores
#   tests/mutants/run.sh 36 110 216   these
#   tests/mutants/run.sh --check      whether the patch still applies
set -euo pipefail
cd "$(dirname "$0")/../.."
if [ "${1:-}" = --check ]; then
    exec git apply --check tests/mutants/defects.patch
fi
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git ls-files -z | xargs -0 cp --parents -t "$copy"
(cd "$copy" && git init -q && git apply tests/mutants/defects.patch)
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target/mutants}
test=$(cd "$copy" && cargo test -p trefoil-runtime --lib --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))$/\1/p')

missed=0
for number in ${*:-$(cat tests/mutants/defects.txt)}; do
    # A defect that hangs is noticed, too.
    if said=$(cd "$copy/runtime" && MUTANT=$number timeout 300 "$test" 2>&1); then
        echo "$number MISSED"
        missed=$((missed + 1))
    else
        caught=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' <<<"$said")
        echo "$number caught by $(wc -l <<<"$caught") tests: $(head -n 1 <<<"$caught")"
    fi
done
exit $((missed > 0))
