#!/usr/bin/env bash
# The step of action.yml that runs the recipe. The github reporter writes the job summary, annotations, the body of a
# comment and the outputs of the step (outcome, output, report, comment).
set -uo pipefail
if command -v compress >/dev/null; then compress=(compress)
else compress=(npx --no-install compress)
fi
read -r -a arguments <<<"${ARGUMENTS:-}"
"${compress[@]}" run "${RECIPE}" --reporter github ${arguments[@]+"${arguments[@]}"}
