"""Completion in the shell: scripts for bash, zsh and fish that serve `bon` and `bon-hydra`, and where each is read.

The scripts ask the programs themselves: `bon-hydra` answers by Hydra's completion, `bon` by typer's. Light: a Tab
waits for it.
"""

from __future__ import annotations

import os
from pathlib import Path

from bon_hydra.names import GROUPS
from bon_hydra.options import options
from bon_hydra.schema import ConfigError

SHELLS = ("bash", "zsh", "fish")
SCRIPTS = Path(__file__).parent / "shell"


def script(shell: str) -> str:
    """The text to be evaluated by the shell.

    Raises:
        ConfigError: it is none of SHELLS.
    """
    if shell not in SHELLS:
        raise ConfigError(f"{shell or 'the shell'}: not known here, wanted one of {', '.join(SHELLS)}")
    return (SCRIPTS / f"bon.{shell}").read_text(encoding="utf-8")


def install(shell: str) -> list[Path]:
    """Puts the script where the shell reads it when it starts; a second time changes nothing. The files, new or not.

    Raises:
        ConfigError: the shell is not known, or a file cannot be written.
    """
    text, home = script(shell), Path.home()
    try:
        if shell == "fish":  # which looks for a command's completion when it is typed, in a file of the command's name
            folder = _folder("XDG_CONFIG_HOME", home / ".config") / "fish" / "completions"
            follow = f"source {folder / 'bon.fish'}\n"
            return [_write(folder / "bon.fish", text), _write(folder / "bon-hydra.fish", follow)]
        file = _write(_folder("XDG_DATA_HOME", home / ".local" / "share") / "bon_hydra" / f"bon.{shell}", text)
        rc = _folder("ZDOTDIR", home) / ".zshrc" if shell == "zsh" else home / ".bashrc"
        line = f'[ -r "{file}" ] && . "{file}"  # completion of bon and bon-hydra'
        before = rc.read_text(encoding="utf-8") if rc.exists() else ""
        if line not in before.splitlines():
            rc.write_text(
                before + ("" if before.endswith("\n") or not before else "\n") + line + "\n", encoding="utf-8"
            )
        return [file, rc]
    except OSError as error:
        raise ConfigError(f"{error.filename}: cannot be written ({error.strerror})") from error


def overrides(incomplete: str) -> list[str]:
    """What may follow `bon rerun RUN`: keys, groups, and a group's options, of which one is the saved block."""
    from bon_hydra.checks import known_keys

    group, equals, _ = incomplete.partition("=")
    if equals:
        found = [f"{group}={option}" for option in [*options(group), "saved"]] if group in GROUPS else []
    else:
        found = [f"{key}=" for key in [*GROUPS, *known_keys()] if incomplete or "." not in key]
    return [text for text in dict.fromkeys(found) if text.startswith(incomplete)]


def current_shell() -> str:
    """The shell that this was started from; what $SHELL names, where that cannot be seen."""
    import shellingham

    try:
        name: str = shellingham.detect_shell()[0]
    except (shellingham.ShellDetectionFailure, OSError):
        name = ""
    return name if name in SHELLS else Path(os.environ.get("SHELL", "")).name


def _folder(variable: str, otherwise: Path) -> Path:
    return Path(os.environ.get(variable) or otherwise)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
