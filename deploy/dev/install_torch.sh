#!/usr/bin/env bash
# Installs torch for training: the CPU wheel where pip can find one (PIP_FIND_LINKS, an index that has it),
# else the ordinary one, which brings several gigabytes of CUDA libraries that CPU training does not use.
set -euo pipefail
bin=$1
version=$(sed -n 's/^torch==//p' constraints.txt)
"$bin/python" -c "import importlib.metadata as m, sys; sys.exit(m.version('torch').split('+')[0] != '$version')" 2>/dev/null && exit 0
if "$bin/pip" install --quiet "torch==$version+cpu" 2>/dev/null; then
  echo "torch $version: CPU wheel"
else
  echo "torch $version: no CPU wheel at hand (set PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL); taking the one with CUDA libraries, about 4 GB on disk"
  "$bin/pip" install --quiet --constraint constraints.txt "torch==$version"
fi
