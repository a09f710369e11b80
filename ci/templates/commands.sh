#!/bin/sh
# Apply {{ change.id }} to a clone of your fork of {{ change.suite.name }}. With --push, open the pull request as well:
#     commands.sh CLONE [REMOTE] [--push]        REMOTE is your fork, default: origin
set -eu

bundle=$(cd "$(dirname "$0")" && pwd)
clone=${1:?usage: commands.sh CLONE_OF_{{ change.suite.name }} [REMOTE] [--push]}
remote=${2:-origin}
branch={{ change.file.branch | sh }}
cd "$clone"

{% if branch.base.kind == "fork" %}
git fetch {{ change.suite.url | sh }} {{ change.suite.pin }} || true
git checkout -b "$branch" {{ change.suite.pin }}
{% else %}
# This bundle was built on {{ branch.base.label }}: for a pull request build it on the fork,
#     make fork-{{ change.suite.short }} && {{ change.command }}
git checkout -b "$branch"
{% endif %}
git am --keep --keep-cr "$bundle"/0*.patch

if [ "${3:-}" != --push ]; then
    exit 0
fi
{% if branch.base.kind != "fork" %}
echo "error: a bundle of the release base cannot be opened as a pull request" >&2
exit 2
{% else %}
# pictures and tables that the text links to go to a branch of their own in your fork
repository=$(git remote get-url "$remote" | sed -E 's#\.git$##; s#^.*[:/]([^/:]+/[^/]+)$#\1#')
scratch=$(mktemp -d)
GIT_INDEX_FILE=$scratch/index git --work-tree="$bundle/{{ attachments }}" add -A -f .
tree=$(GIT_INDEX_FILE=$scratch/index git write-tree)
files=$(git commit-tree "$tree" -m {{ ("Pictures and tables of " ~ change.id) | sh }})
git push "$remote" "$branch" "$files:refs/heads/$branch-files"
sed -E "s#(!\[[^]]*\]\({{ attachments }}/[^)]+)\)#\1?raw=true)#g; s#\]\({{ attachments }}/#](https://github.com/$repository/blob/$files/#g" \
    "$bundle/PR.md" > "$scratch/body.md"
gh pr create --repo {{ change.suite.repository | sh }} --base {{ change.suite.branch | sh }} --head "${repository%%/*}:$branch" \
    --title {{ change.file.title | sh }} --body-file "$scratch/body.md"
{% endif %}
