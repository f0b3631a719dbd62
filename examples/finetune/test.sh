#!/usr/bin/env bash
# The package's tests, with $TREFOIL_PYTHON or python3; where that lacks torch, onnx or any other
# module they need, says so and skips.
set -euo pipefail
cd "$(dirname "$0")"
python="${TREFOIL_PYTHON:-python3}"

needed="torch torchvision onnx onnx2torch onnxruntime numpy PIL tqdm pytest"
if ! command -v "$python" >/dev/null; then
    echo "skipped: no $python; set TREFOIL_PYTHON to a Python that has: $needed"
    exit 0
fi
missing="$("$python" - $needed <<'PY'
import importlib.util
import sys

print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))
PY
)"
if [ -n "$missing" ]; then
    echo "skipped: $python lacks: $missing (pip install -e 'examples/finetune[dev]' gets them)"
    exit 0
fi

if "$python" -m ruff --version >/dev/null 2>&1; then
    "$python" -m ruff format --check .
    "$python" -m ruff check .
fi
if "$python" -m mypy --version >/dev/null 2>&1; then
    "$python" -m mypy
fi
"$python" -m pytest -q
