r"""Asks a command for the assignment of the next, tighter budget.

After each stage of a gradual run the distortions are those of another network. The command line
that measures them again is the user's own, for example, with ``--remeasure`` before each line::

    trefoil calibrate {model} --calibration calib.npy --preprocess p.toml -o {model}.profile
    trefoil compile {model} --profile {model}.profile --budget {budget} --preprocess p.toml \
        -o {model}.plans
    cp {model}.plans/assignment.json {assignment}
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .assignment import Assignment
from .errors import FinetuneError
from .pipeline import Remeasure


def by_command(templates: Sequence[str], budgets: Sequence[str]) -> Remeasure:
    """Runs the commands in turn; the last must have written ``{assignment}``.

    ``{model}`` becomes the path of the tuned plain network, ``{budget}`` the stage's budget as
    given, ``{assignment}`` the path that is read afterwards.
    """

    def remeasure(model: Path, stage: int) -> Assignment:
        result = model.with_suffix(".assignment.json")
        result.unlink(missing_ok=True)
        values = {"model": str(model), "budget": budgets[stage], "assignment": str(result)}
        for template in templates:
            _run(template, values)
        if not result.exists():
            raise FinetuneError(f"`{templates[-1]}` ended well but did not write {{assignment}}")
        return Assignment.load(result)

    return remeasure


def _run(template: str, values: dict[str, str]) -> None:
    try:
        words = [word.format(**values) for word in shlex.split(template)]
    except (KeyError, IndexError, ValueError) as error:
        raise FinetuneError(
            f"`{template}` is no command: write {{model}}, {{budget}} and {{assignment}} where "
            f"these go, and double other braces ({error})"
        ) from error
    try:
        subprocess.run(words, check=True)
    except OSError as error:
        raise FinetuneError(f"cannot start `{words[0]}`: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        raise FinetuneError(
            f"`{shlex.join(words)}` failed with exit status {error.returncode}"
        ) from error
