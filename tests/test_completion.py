"""Completion by Tab, in the real shells: bash and zsh on a terminal, fish by the command that answers for its Tab."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from app import environment

from bon_hydra.checks import known_keys
from bon_hydra.completion import overrides, script
from bon_hydra.options import options

SCRIPTS = Path(sys.executable).parent
HERE = [shell for shell in ("bash", "zsh", "fish") if shutil.which(shell)]
"""The shells of this machine; CI installs what is missing."""
TYPED = {
    "bon-hydra experiment=math_f": "experiment=math_focused",
    "bon-hydra num_cand": "num_candidates=",
    "bon-hydra model=gem": "model=gemini",
    "bon-hydra seed=1 -m max_quer": "max_queries=",
    "bon-hydra dataset=gsm8k model.base_u": "model.base_url=",
    "bon-hydra dataset.data_files=./addit": "dataset.data_files=./additions.jsonl",
    "bon-hydra dataset.data_files=addit": "dataset.data_files=additions.jsonl",
    "bon ins": "inspect",
    "bon show runs/2026-11-23/one/addit": "runs/2026-11-23/one/additions.parquet",
    "bon inspect run": "runs/",
    "bon rerun runs/2026-11-23/one sampling=gre": "sampling=greedy",
    "bon rerun runs/2026-11-23/one model.base_u": "model.base_url=",
    "bon show x --verd": "--verdict",
}
"""What is typed, and the word that a Tab makes of its last."""


def test_ci_has_every_shell() -> None:
    """Where CI says that it is one, none of the shells is left out."""
    assert not os.environ.get("CI") or len(HERE) == 3


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    """A folder with a run and a file to complete to, and an empty home."""
    (tmp_path / "runs" / "2026-11-23" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "2026-11-23" / "one" / "additions.parquet").touch()
    (tmp_path / "additions.jsonl").touch()
    (tmp_path / "home").mkdir()
    return tmp_path


def of(cwd: Path) -> dict[str, str]:
    home = str(cwd / "home")
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    plain = {"TERM": "dumb", "PS1": "> ", "PROMPT": "> ", "COLUMNS": "300", "ZDOTDIR": home, "HISTFILE": "/dev/null"}
    kept = {name: value for name, value in environment().items() if not name.startswith("XDG_")}
    return kept | plain | {"HOME": home, "PATH": path}


class Terminal:
    """A shell on a terminal: what is typed, and what it shows."""

    def __init__(self, descriptor: int) -> None:
        self.shown = ""
        self._descriptor = descriptor

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def until(self, pattern: str) -> str:
        """What is shown until the pattern is, from where the last call ended."""
        deadline = time.monotonic() + 120
        while not (found := re.search(pattern, self.shown)):
            ready, _, _ = select.select([self._descriptor], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} did not come, only {self.shown!r}"
            self.shown += re.sub(r"\x1b\[[\d;?]*[A-Za-z]|\r|\x07", "", os.read(self._descriptor, 4096).decode())
        before, self.shown = self.shown[: found.end()], self.shown[found.end() :]
        return before


@contextmanager
def terminal(cwd: Path, *command: str) -> Iterator[Terminal]:
    """The shell, interactive, with an empty line to type on."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (50, 300))
    process = subprocess.Popen(
        command, cwd=cwd, env=of(cwd), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        opened = Terminal(ours)
        opened.type("echo rea''dy\n")
        opened.until("ready\n")
        yield opened
    finally:
        process.kill()
        process.wait()
        os.close(ours)


COMMANDS = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}


@pytest.mark.parametrize("shell", [shell for shell in HERE if shell in COMMANDS])
def test_a_tab_completes_what_is_typed(cwd: Path, shell: str) -> None:
    """Commands, groups, options, keys and paths, for both programs, as the documented line sets it up."""
    with terminal(cwd, *COMMANDS[shell]) as shown:
        shown.type(f'eval "$(bon completion {shell})"; echo set"" up\n')
        shown.until("set up\n")
        for typed, wanted in TYPED.items():
            shown.type(typed + "\t")
            shown.until(re.escape(typed.rpartition(" ")[0] + " " + wanted))
            shown.type("\x15\n")  # the line away, and a new one


@pytest.mark.parametrize("shell", [shell for shell in HERE if shell not in COMMANDS])
def test_fish_offers_what_is_typed(cwd: Path, shell: str) -> None:
    """The same; fish itself answers what it would offer."""
    asked = "; ".join(f"echo '{typed}'; complete -C '{typed}'" for typed in TYPED)
    told = fish(cwd, f"bon completion {shell} | source; {asked}")
    for typed, wanted in TYPED.items():
        offered = told.partition(f"{typed}\n")[2].splitlines()[0]
        assert offered.partition("\t")[0] == wanted, typed


def fish(cwd: Path, code: str) -> str:
    done = subprocess.run(["fish", "-c", code], cwd=cwd, env=of(cwd), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", HERE)
def test_it_is_installed_by_one_command_for_every_new_shell(cwd: Path, shell: str) -> None:
    """It says what it wrote; a second time changes nothing; what stood in the file before stays."""
    rc = {"bash": ".bashrc", "zsh": ".zshrc"}.get(shell)
    if rc:
        (cwd / "home" / rc).write_text("export MINE=yes")
    written = []
    for _ in range(2):
        command = [str(SCRIPTS / "bon"), "completion", shell, "--install"]
        done = subprocess.run(command, cwd=cwd, env=of(cwd), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        files = {path: path.read_text() for path in (cwd / "home").rglob("*") if path.is_file()}
        assert all(str(path) in done.stdout for path in files)
        written.append(files)
    assert written[0] == written[1]
    if rc is None:
        assert fish(cwd, "complete -C 'bon-hydra experiment=math_f'") == "experiment=math_focused\n"
        assert fish(cwd, "complete -C 'bon ins'").startswith("inspect\t")
        return
    assert (cwd / "home" / rc).read_text().startswith("export MINE=yes\n")
    interactive = {"bash": ["bash", "--noprofile", "-i"], "zsh": ["zsh", "-i"]}[shell]
    with terminal(cwd, *interactive) as shown:
        shown.type("echo mine=$MINE\n")
        shown.until("mine=yes\n")
        shown.type("bon-hydra experiment=math_f\t")
        shown.until("bon-hydra experiment=math_focused")


@pytest.mark.parametrize("shell", [shell for shell in HERE if shell in COMMANDS])
def test_the_shell_that_asks_is_recognised(cwd: Path, shell: str) -> None:
    """Without a name it is the one that the command is typed in."""
    done = subprocess.run(
        [shell, "-c", "bon completion; true"], cwd=cwd, env=of(cwd), capture_output=True, text=True, check=False
    )
    assert done.stdout == script(shell)


def test_another_shell_is_refused(cwd: Path) -> None:
    """Exit 2, one line that names those there are."""
    command = [str(SCRIPTS / "bon"), "completion", "tcsh"]
    done = subprocess.run(command, cwd=cwd, env=of(cwd), capture_output=True, text=True, check=False)
    assert (done.returncode, "bash, zsh, fish" in done.stderr, done.stderr.count("\n")) == (2, True, 1)


def test_a_tab_imports_nothing_heavy(cwd: Path) -> None:
    """Neither Hydra nor anything that a run needs, for `bon`; test_config.py holds the same for `bon-hydra`."""
    code = (
        "import sys; from bon_hydra.cli import main\n"
        "try: main([])\n"
        "except SystemExit: pass\n"
        "heavy = {'hydra', 'openai', 'datasets', 'pandas', 'pyarrow', 'numpy', 'scipy', 'rich'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    asking = {"_BON_COMPLETE": "complete_bash", "COMP_WORDS": "bon rerun x model=", "COMP_CWORD": "3"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=cwd, env=of(cwd) | asking, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "model=gpt-4o-mini" in done.stdout.split()


def test_what_may_follow_a_rerun() -> None:
    """Every key with its dots, every group, every option, and the saved block."""
    assert {f"{key}=" for key in known_keys()} == {
        text for start in "abcdefghijklmnopqrstuvwxyz" for text in overrides(start)
    } - {
        "sampling=",
        "experiment=",
    }
    assert overrides("dataset=") == [f"dataset={option}" for option in (*options("dataset"), "saved")]
    assert overrides("nothing=") == []
