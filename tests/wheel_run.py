"""A run of the installed wheel, from a folder that holds nothing of the project.  python wheel_run.py PYTHON

PYTHON is the interpreter of an environment in which the wheel is installed, and nothing else of ours.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from app import additions, asking, environment, sum_of
from fake_api import FakeApi, Request


def answer(request: Request, choice: int) -> str:
    return sum_of(request, choice) if "+2?" in request.question else "It is \\boxed{1}."


def main(python: str) -> None:
    """Runs an experiment by both of its names and inspects it; raises where one of them fails."""
    scripts = Path(python).parent
    with tempfile.TemporaryDirectory() as folder, FakeApi(reply=answer) as api:
        arguments = asking(api.url, additions(Path(folder), 3))
        for command in (
            [python, "-m", "bon_hydra", *arguments],
            [str(scripts / "bon-hydra"), *arguments, "num_candidates=5"],
            [python, "-m", "bon_hydra", "model=openai-compatible", f"model.base_url={api.url}", "max_queries=2"],
            [str(scripts / "bon"), "inspect", "outputs/latest"],
            [str(scripts / "bon"), "report", "outputs/latest", "-o", "page.html"],
        ):
            print("+", *command)
            subprocess.run(command, cwd=folder, env=environment(), check=True)


if __name__ == "__main__":
    main(sys.argv[1])
    print("5 passed, 0 failed")
