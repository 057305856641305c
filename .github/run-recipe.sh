#!/usr/bin/env bash
# The step of action.yml that runs the recipe: annotations and the job summary come from the github reporter, the outputs of
# the step (outcome, output, report, comment) from what the run told.
set -uo pipefail
folder=$(mktemp -d "${RUNNER_TEMP:-/tmp}/compress-XXXXXX")
if command -v compress >/dev/null; then compress=(compress)
else compress=(npx --no-install compress)
fi
read -r -a arguments <<<"${ARGUMENTS:-}"
"${compress[@]}" run "${RECIPE}" --reporter "github=${folder}/comment.md" --reporter "json=${folder}/events.ndjson" \
  --reporter plain ${arguments[@]+"${arguments[@]}"}
code=$?
case ${code} in
  0) outcome=done ;;
  3) outcome=gate-failed ;;
  *) outcome=failed ;;
esac
output=$(node -e '
  const lines = require("node:fs").readFileSync(process.argv[1], "utf8").split("\n").filter(Boolean);
  const started = lines.map((line) => JSON.parse(line)).find((event) => event.type === "run-started");
  process.stdout.write(started ? require("node:path").resolve(started.output) : "");
' "${folder}/events.ndjson" 2>/dev/null)
{
  echo "outcome=${outcome}"
  echo "output=${output}"
  if [ -n "${output}" ]; then echo "report=${output}/report.json"; fi
  if [ -s "${folder}/comment.md" ]; then echo "comment=${folder}/comment.md"; fi
} >>"${GITHUB_OUTPUT:-/dev/stdout}"
exit "${code}"
