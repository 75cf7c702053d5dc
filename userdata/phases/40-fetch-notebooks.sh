# Puts the notebooks into the home folder: a starter of our own, and those of Dive into Deep
# Learning for the framework, made from the book's sources at a pinned commit.
#
# Nothing that is there already is touched: it belongs to the person by then.
# shellcheck shell=bash source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"

# The last commit of the book's master branch, of 2024-03-16; its notebooks are release 1.0.3.
d2l_repository=https://github.com/d2l-ai/d2l-en.git
d2l_commit=23d7a5aecceee57d1292c56e90cce307f183bb0a
framework=$(setting framework)

place_starter() {
  local target="$home/gpu-starter.ipynb"
  if [[ ! -e $target ]]; then
    cp "$scripts/notebooks/starter-$framework.ipynb" "$target"
    run chown "$user:" "$target"
  fi
}

# Only the one commit comes over, and git checks its name against what came.
fetch_book() {
  # Joined by &&, because a function that is tried does not end at its first fault.
  rm -rf "$1" &&
    run git init --quiet "$1" &&
    retry git -C "$1" fetch --quiet --depth 1 "$d2l_repository" "$d2l_commit" &&
    attempt git -C "$1" checkout --quiet "$d2l_commit"
}

place_book() {
  local work="$opt/d2l-source" draft="$home/.d2l-draft"
  if [[ -e $home/d2l ]]; then
    return
  fi
  # In a subshell, so that even what is hopeless is only a warning.
  if ! (GPUSTATION_RECORD='' && fetch_book "$work"); then
    warn "the D2L notebooks are missing, because $d2l_repository did not give commit $d2l_commit"
    return
  fi
  rm -rf "$draft"
  run python3 "$scripts/lib/convert_book.py" "$framework" "$work" "$draft"
  run chown -R "$user:" "$draft"
  mv "$draft" "$home/d2l"
  rm -rf "$work"
}

place_starter
if [[ $(setting notebooks) == true ]]; then
  place_book
fi
