# Installs in the home folder our starter notebook, our example of a training that survives
# interruptions, and the notebooks of Dive into Deep Learning for the framework, converted from the
# book's sources at a pinned commit.
#
# Existing files are not changed: they belong to the person. Notebooks for the other framework are
# renamed, with that framework's name in it.
# shellcheck shell=bash source-path=SCRIPTDIR
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
. "$here/../../runner/record.sh"
. "$here/../../runner/settings.sh"
. "$here/../../runner/retry.sh"
. "$here/../../home/as_owner.sh"

# The last commit of the book's master branch, of 2024-03-16; its notebooks are those of release
# 1.0.3.
d2l_repository=https://github.com/d2l-ai/d2l-en.git
d2l_commit=23d7a5aecceee57d1292c56e90cce307f183bb0a
framework=$(setting framework)

# unless_there NAME SCRIPT: run a script in the home folder as its owner, unless a file or folder of
# that name exists there.
unless_there() {
  # shellcheck disable=SC2016  # expanded by the owner's shell
  as_owner "$home" sh -c '[ -e "$1" ] || [ -L "$1" ] || eval "$2"' sh "$1" "$2"
}

# set_aside NAME OTHER: rename a notebook, or a folder of notebooks, of the other framework.
set_aside() {
  local kept="${1%.ipynb}-$2"
  [[ $1 != *.ipynb ]] || kept+=.ipynb
  # shellcheck disable=SC2016  # expanded by the owner's shell
  if as_owner "$home" sh -c '
    [ ! -e "$3" ] && [ ! -L "$3" ] && grep -rqs "\"name\": \"$2\"" "$1" && mv "$1" "$3"' \
    sh "$1" "$2" "$kept"; then
    log "$1 was for $2; renamed it to $kept"
  fi
}

# place_example: install the example of a training that survives interruptions. Its name has the
# framework, so that of another one stays.
place_example() {
  local name="resumable-$framework.py"
  # shellcheck disable=SC2016  # expanded by the owner's shell
  unless_there "$name" 'cat >.resumable.draft && mv .resumable.draft "$1"' \
    <"$scripts/notebooks/$name" ||
    warn "the example $name is missing in $home: $owner_output"
}

place_starter() {
  # shellcheck disable=SC2016  # expanded by the owner's shell
  unless_there gpu-starter.ipynb 'cat >.gpu-starter.draft && mv .gpu-starter.draft "$1"' \
    <"$scripts/notebooks/starter-$framework.ipynb" ||
    warn "the starter notebook is missing in $home: $owner_output"
}

# fetch_book FOLDER: fetch only the one commit. git checks the content against the commit's hash.
fetch_book() {
  # Joined by &&, because bash ignores set -e in a function whose status is tested.
  rm -rf "$1" &&
    run git init --quiet "$1" &&
    retry git -C "$1" fetch --quiet --depth 1 "$d2l_repository" "$d2l_commit" &&
    attempt git -C "$1" checkout --quiet "$d2l_commit"
}

place_book() {
  local work="$opt/d2l-source" made="$opt/d2l-notebooks"
  if as_owner "$home" test -e d2l; then
    return
  fi
  # In a subshell, so that even die inside retry is only a warning.
  if ! (GPUSTATION_RECORD='' && fetch_book "$work"); then
    warn "the D2L notebooks are missing, because commit $d2l_commit could not be fetched from" \
      "$d2l_repository"
    return
  fi
  rm -rf "$made"
  run python3 -I "$here/convert_book.py" "$framework" "$work" "$made"
  # shellcheck disable=SC2016  # expanded by the owner's shell
  tar -C "$made" -c . | unless_there d2l \
    'rm -rf .d2l-draft && mkdir .d2l-draft && tar -C .d2l-draft -x && mv .d2l-draft "$1"' ||
    warn "the D2L notebooks are missing in $home: $owner_output"
  rm -rf "$work" "$made"
}

other=mxnet
[[ $framework != mxnet ]] || other=pytorch
set_aside gpu-starter.ipynb "$other"
set_aside d2l "$other"
place_starter
place_example
if [[ $(setting notebooks) == true ]]; then
  place_book
fi
