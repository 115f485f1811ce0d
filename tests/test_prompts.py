"""A query becomes messages: what takes the place of what, and what a template may do."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.prompts import render
from bon_hydra.records import Message, Query
from bon_hydra.schema import ConfigError, PromptConfig

USER = {"role": "user", "content": "What is 1+2?"}


def query(*messages: Message, split: str = "math", row: dict[str, Any] | None = None, **more: Any) -> Query:
    fields: dict[str, Any] = {"tools": None, "reference": "3", "verifier": "exact", "row": row or {}} | more
    own = messages or (USER,)
    return Query("id", split, str(own[-1]["content"]), own, **fields)


def shown(messages: list[Message]) -> list[tuple[str, Any]]:
    return [(message["role"], message["content"]) for message in messages]


def test_without_a_prompt_the_rows_own_messages_are_sent() -> None:
    """As they are, with everything in them."""
    calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    own: list[Message] = [
        {"role": "system", "content": "row's"},
        USER,
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "3", "tool_call_id": "1"},
    ]
    assert render(query(*own), PromptConfig()) == own


def test_a_configured_system_prompt_takes_the_rows_place() -> None:
    """The row's own goes, wherever it stands; null leaves it."""
    own = query({"role": "system", "content": "row's"}, USER)
    assert shown(render(own, PromptConfig(system="mine"))) == [("system", "mine"), ("user", "What is 1+2?")]
    assert shown(render(own, PromptConfig(system=None)))[0] == ("system", "row's")


def test_examples_stand_between_system_prompt_and_question() -> None:
    """As earlier turns, in their order; the template is for the question alone."""
    prompt = PromptConfig(
        system="mine",
        template="{{ question }} Box it.",
        examples=[{"user": "1+1?", "assistant": "2"}, {"user": "2+2?", "assistant": "4"}],
    )
    assert shown(render(query(), prompt)) == [
        ("system", "mine"),
        ("user", "1+1?"),
        ("assistant", "2"),
        ("user", "2+2?"),
        ("assistant", "4"),
        ("user", "What is 1+2? Box it."),
    ]
    without = PromptConfig(examples=prompt.examples)
    assert shown(render(query({"role": "system", "content": "row's"}, USER), without))[0] == ("system", "row's")


def test_of_a_multi_turn_row_only_the_last_user_message_is_rewritten() -> None:
    """Earlier turns and what follows stay, with all their fields; nothing of the query is changed in place."""
    own: list[Message] = [
        {"role": "user", "content": "first {{ x }}"},
        {"role": "assistant", "content": "answer", "name": "kept"},
        {"role": "user", "content": "second", "name": "kept"},
    ]
    asked = query(*own)
    before = deepcopy(asked)
    messages = render(asked, PromptConfig(system="mine", template="<{{ question }}>"))
    assert messages == [{"role": "system", "content": "mine"}, *own[:2], {**own[2], "content": "<second>"}]
    assert asked == before


def test_tools_are_untouched() -> None:
    """They are sent apart from the messages and are in none."""
    tools = ({"type": "function", "function": {"name": "add_things", "parameters": {}}},)
    asked = query(tools=tools)
    assert "add_things" not in str(render(asked, PromptConfig(system="s", template="{{ question }}")))
    assert asked.tools == ({"type": "function", "function": {"name": "add_things", "parameters": {}}},)


@pytest.mark.parametrize("key", ["system", "template", "examples"])
def test_a_map_is_read_by_split_then_verifier_then_default(key: str) -> None:
    """And gives nothing where none of them is in it; a null in it is nothing as well."""

    def value(text: str) -> Any:
        return [{"user": text, "assistant": "a"}] if key == "examples" else text

    def first(asked: Query, **maps: str | None) -> str:
        found = {name: None if text is None else value(text) for name, text in maps.items()}
        return str(render(asked, PromptConfig(**{key: found}))[0]["content"])

    maps = {"math": "by split", "exact": "by verifier", "default": "by default"}
    assert first(query(), **maps) == "by split"
    assert first(query(split="code"), **maps) == "by verifier"
    assert first(query(split="code", verifier="code"), **maps) == "by default"
    assert first(query(split="code", verifier="none"), math="x") == "What is 1+2?"
    assert first(query(), **(maps | {"math": None})) == "What is 1+2?"


def test_a_template_sees_the_rows_columns_and_where_it_is() -> None:
    """Question, split and verifier are the query's, also where the row has columns of that name."""
    row = {"level": 5, "tags": ["a", "b"], "question": "column", "split": "column", "self": 1, "range": 2}
    template = "{{ question }}|{{ split }}|{{ verifier }}|{{ level + 1 }}|{% for t in tags %}{{ t }}{% endfor %}"
    (message,) = render(query(row=row), PromptConfig(template=template))
    assert message["content"] == "What is 1+2?|math|exact|6|ab"


def test_a_template_keeps_its_white_space() -> None:
    """The last line break too."""
    (message,) = render(query(), PromptConfig(template="  {{ question }}\n\n"))
    assert message["content"] == "  What is 1+2?\n\n"


@pytest.mark.parametrize(
    "template",
    [
        "{{ nothing }}",
        "{{ nothing.of.that }}",
        "{% if nothing %}x{% endif %}",
        "{{ question",
        "{% for %}",
        "{{ question | no_such_filter }}",
        "{% include 'file' %}",
        "{{ 1 / 0 }}",
        "{{ question + 1 }}",
        "{{ question(3) }}",
        "{{ range(10 ** 9) | list }}",
        "{{ ''.__class__ }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ question.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__'] }}",
        "{{ '' | attr('__class__') }}",
        "{{ '{0.__class__.__mro__}'.format(question) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ tags.append(1) or tags.__class__ }}",
    ],
)
def test_a_template_that_goes_wrong_or_too_far_is_a_config_error(template: str) -> None:
    """The message shows the template and what it may use, and nothing that an attribute walk would have shown."""
    with pytest.raises(ConfigError, match=r"^prompt\.template: ") as refused:
        render(query(row={"level": 5, "tags": []}), PromptConfig(template=template))
    assert repr(template) in str(refused.value)
    assert "level, question, split, tags, verifier" in str(refused.value)
    assert "<class" not in str(refused.value)


@given(st.text(max_size=60) | st.sampled_from(["{{ 7*7 }}", "{% raw %}", "{# x #}", "{{ nothing }}", "${x} {y} %s"]))
def test_braces_in_a_question_are_not_interpreted(text: str) -> None:
    """A question is data, in the template's place for it, in columns, in a system prompt and in examples."""
    asked = query({"role": "user", "content": text}, row={"column": text})
    prompt = PromptConfig(
        system=text, template="<{{ question }}|{{ column }}>", examples=[{"user": text, "assistant": text}]
    )
    assert shown(render(asked, prompt)) == [
        ("system", text),
        ("user", text),
        ("assistant", text),
        ("user", f"<{text}|{text}>"),
    ]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("system", 3),
        ("system", ["a"]),
        ("system", {"math": 3}),
        ("template", 1.5),
        ("template", {"default": ["x"]}),
        ("examples", "text"),
        ("examples", [{"user": "q"}]),
        ("examples", [{"user": "q", "assistant": 3}]),
        ("examples", [{"user": "q", "assistant": "a", "system": "s"}]),
        ("examples", ["q"]),
        ("examples", {"math": {"user": "q", "assistant": "a"}}),
    ],
)
def test_a_prompt_of_another_shape_is_a_config_error(key: str, value: Any) -> None:
    """It names the key and what it wants."""
    with pytest.raises(ConfigError, match=rf"^prompt\.{key}: got .*, wanted "):
        render(query(), PromptConfig(**{key: value}))
