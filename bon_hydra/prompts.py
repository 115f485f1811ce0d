"""A Query becomes the messages that are sent: system prompt, worked examples, the question in its template.

Each of `prompt.system`, `prompt.template` and `prompt.examples` is one value, or a map whose key is the
query's split, else its verifier, else `default`. Templates are Jinja2, sandboxed, and an unknown name in
one is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import SandboxedEnvironment

from bon_hydra.records import Message, Query
from bon_hydra.schema import ConfigError, PromptConfig

JINJA = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)


def render(query: Query, prompt: PromptConfig) -> list[Message]:
    """The messages for one query, in the API's form.

    The row's own messages stay, except that a configured system prompt takes the place of the row's, and
    that the template rewrites the last user message.

    Raises:
        ConfigError: a template that doesn't parse or names a column that the row lacks; examples of another shape.
    """
    messages = list(query.messages)
    system = _text(_chosen(prompt.system, query), "prompt.system")
    if system is not None:
        messages = [{"role": "system", "content": system}, *(m for m in messages if m["role"] != "system")]
    template = _text(_chosen(prompt.template, query), "prompt.template")
    if template is not None:
        last = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=None)
        content = _fill(template, query)
        if last is None:
            messages.append({"role": "user", "content": content})
        else:
            messages[last] = {**messages[last], "content": content}
    examples = _examples(_chosen(prompt.examples, query))
    first = next((i for i, m in enumerate(messages) if m["role"] != "system"), len(messages))
    return [*messages[:first], *examples, *messages[first:]]


def _chosen(value: Any, query: Query) -> Any:
    if not isinstance(value, Mapping):
        return value
    for key in (query.split, query.verifier, "default"):
        if key in value:
            return value[key]
    return None


def _text(value: Any, key: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise ConfigError(f"{key}: got {value!r}, wanted a text, null, or a map from split to text")


def _fill(template: str, query: Query) -> str:
    question = query.question
    if query.messages and query.messages[-1]["role"] == "user" and isinstance(query.messages[-1]["content"], str):
        question = query.messages[-1]["content"]
    try:
        return _compiled(template).render(
            {**query.row, "question": question, "split": query.split, "verifier": query.verifier}
        )
    except Exception as error:  # a template may divide by zero or add a text to a number as well
        columns = ", ".join(sorted({"question", "split", "verifier", *query.row}))
        raise ConfigError(
            f"prompt.template: {type(error).__name__}: {error} (the template is {template!r}; "
            f"a query of split {query.split} has {columns})"
        ) from error


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    return JINJA.from_string(template)


def _examples(value: Any) -> list[Message]:
    if value is None:
        return []
    wanted = "wanted a list of {user: …, assistant: …}, or a map from split to such lists"
    if not isinstance(value, list):
        raise ConfigError(f"prompt.examples: got {value!r}, {wanted}")
    messages: list[Message] = []
    for example in value:
        if (
            not isinstance(example, Mapping)
            or set(example) != {"user", "assistant"}
            or not all(isinstance(t, str) for t in example.values())
        ):
            raise ConfigError(f"prompt.examples: got {example!r}, {wanted}")
        messages += [
            {"role": "user", "content": example["user"]},
            {"role": "assistant", "content": example["assistant"]},
        ]
    return messages
