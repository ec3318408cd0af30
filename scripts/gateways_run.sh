#!/usr/bin/env bash
# A whole stage of config/stages on this machine: start stop restart status watch; see --help (parts in local_cluster/).
set -e
here=$(cd "$(dirname "$0")/.." && pwd)
python=${XINYU_PYTHON:-$here/.venv/bin/python}
[ -n "$XINYU_PYTHON" ] || [ -e "$here/.venv/.installed" ] || make --silent -C "$here" .venv/.installed >&2
export PYTHONPATH="$here/scripts:$here${PYTHONPATH:+:$PYTHONPATH}"
exec "$python" -m local_cluster "$@"
