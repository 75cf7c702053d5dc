#!/usr/bin/env bash
# Opens a pull request with the evidence of an acceptance run: its only file, DATE-REGION-TYPE.json in
# build/acceptance/evidence/, is committed in docs/proven/ with the pages that are written from it, on
# the new branch acceptance/DATE-REGION-TYPE. Nothing else is pushed.
set -euo pipefail
# shellcheck source=ci/job.sh
. "$(dirname "$0")/job.sh"

# The token is only handed to Git by the helper: it is on no command line and in no file
remote() {
  git -c credential.helper= -c 'credential.helper=!gh auth git-credential' "$@"
}

shopt -s nullglob dotglob
files=(build/acceptance/evidence/*)
((${#files[@]} == 1)) || fail "there are ${#files[@]} files of evidence; there must be one"
file=${files[0]} name=${files[0]##*/}
[[ -f $file && ! -L $file && $name =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}-[a-z0-9-]+-[a-z0-9-]+\.[a-z0-9-]+\.json$ ]] ||
  fail "the evidence is ${name@Q}; it must be a file named DATE-REGION-TYPE.json"
name=${name%.json}

# A second run of its kind on a day; the evidence of the first is never changed
number=1 target=$name
while [[ -e docs/proven/$target.json ]] ||
  remote ls-remote --exit-code --heads origin "refs/heads/acceptance/$target" >/dev/null; do
  number=$((number + 1)) target=$name-$number
done
branch=acceptance/$target

git switch --quiet --create "$branch"
mkdir -p docs/proven
cp -- "$file" "docs/proven/$target.json"
# Also refuses evidence that holds what may not be public
python -m acceptance.proven
git add -- docs README.md
git -c user.name='github-actions[bot]' \
  -c user.email='github-actions[bot]@users.noreply.github.com' \
  commit --quiet --message "Evidence of the acceptance $target"
remote push --quiet origin "HEAD:refs/heads/$branch"
gh pr create --base main --head "$branch" --title "Evidence of the acceptance $target" \
  --body "Written by run ${GITHUB_RUN_ID:?} of the workflow acceptance. Read it before you merge it."
