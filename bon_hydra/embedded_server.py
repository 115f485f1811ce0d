"""The process of the embedded model: llama.cpp's own HTTP server around one weights file, nothing else.

Run by `bon_hydra.embedded` as a script, so it imports nothing of the project. It listens on a free loopback port,
says its address in one line on stdout, logs to stderr, and lives exactly as long as its stdin is open: when the
parent goes, however it goes, the pipe ends and so does this process.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

SMOLLM2_TEMPLATE = r"""
{%- if tools -%}
    {{- '<|im_start|>system\n' -}}
    {%- if messages[0].role == 'system' -%}{{- messages[0].content + '\n\n' -}}{%- endif -%}
    {{- 'Tools:\n' -}}
    {%- for tool in tools -%}{{- tool | tojson + '\n' -}}{%- endfor -%}
    {{- 'Call a tool like this:\n<tool_call>\n{"name": "tool name", "arguments": {"key": "value"}}\n</tool_call>' -}}
    {{- '<|im_end|>\n' -}}
{%- elif messages[0].role != 'system' -%}
    {{- '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' -}}
{%- endif -%}
{%- for message in messages -%}
    {%- if not (tools and loop.first and message.role == 'system') -%}
        {{- '<|im_start|>' + message.role + '\n' -}}
        {%- if message.content -%}{{- message.content -}}{%- endif -%}
        {%- for call in message.tool_calls or [] -%}
            {%- if call.function -%}{%- set call = call.function -%}{%- endif -%}
            {{- '<tool_call>\n{"name": "' + call.name + '", "arguments": ' + (call.arguments | tojson) -}}
            {{- '}\n</tool_call>' -}}
        {%- endfor -%}
        {{- '<|im_end|>\n' -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"""
"""SmolLM2's own chat template with tools added: its own leaves them out, so that it could never call one.

Without tools it renders what the weights' own template does. llama.cpp reads the form of a call off it."""


def main() -> None:
    parser = argparse.ArgumentParser(description="llama.cpp's HTTP server, until stdin ends")
    parser.add_argument("weights", type=Path)
    parser.add_argument("--slots", type=int, required=True, help="requests answered at once; more of them queue")
    parser.add_argument("--context-per-slot", type=int, required=True, help="tokens of prompt and answer together")
    parser.add_argument("--smollm2-template", action="store_true", help="instead of the weights' own chat template")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    _die_with_parent()

    import xllamacpp  # type: ignore[import-untyped, import-not-found, unused-ignore]

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(arguments.weights)
    parameters.n_parallel = arguments.slots
    parameters.n_ctx = arguments.slots * arguments.context_per_slot
    parameters.port = 0
    parameters.cache_prompt = True
    if arguments.smollm2_template:
        parameters.chat_template = SMOLLM2_TEMPLATE
    parameters.verbosity = 2  # warnings and errors; information is several lines a request
    server = xllamacpp.Server(parameters)  # returns once the weights are loaded and the port is open
    print(server.listening_address, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # the server's destructor would wait for every open request


def _die_with_parent() -> None:
    """On Linux, SIGKILL at the parent's death: faster than the pipe, and true even if another process holds its end."""
    if sys.platform == "linux":
        import ctypes

        set_parent_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


if __name__ == "__main__":
    main()
