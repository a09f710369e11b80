#!/bin/sh
# Apply {{ change.id }} to a clone of your fork of {{ change.suite.name }}, and open the pull request.
# Nothing is pushed unless you take the comment sign away.
set -eu

bundle=$(cd "$(dirname "$0")" && pwd)
clone=${1:?usage: commands.sh CLONE_OF_{{ change.suite.name }}}
cd "$clone"

{% if branch.base.kind == "fork" %}
git fetch origin {{ change.suite.pin }} || true
git checkout -b {{ change.file.branch }} {{ change.suite.pin }}
{% else %}
# This bundle was built on {{ branch.base.label }}: for a pull request build it on the fork,
#     make fork-{{ change.suite.short }} && make pr-{{ change.id }}
git checkout -b {{ change.file.branch }}
{% endif %}
git am --keep --keep-cr "$bundle"/0*.patch

# git push -u origin {{ change.file.branch }}
# gh pr create --repo {{ change.suite.url | replace("https://github.com/", "") | replace(".git", "") }} --title '{{ change.file.title }}' --body-file "$bundle/PR.md"
