"""Tool calls pass where they call what the reference calls, with the same arguments, after BFCL's rules."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.records import Verdict
from bon_hydra.verifiers.completion import Completion, Task
from bon_hydra.verifiers.tool_calls import judge

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather.get",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "default": 1},
                "heat": {"type": "number"},
                "exact": {"type": "boolean"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "where": {"type": "object", "properties": {"lat": {"type": "number"}}},
            },
            "required": ["city"],
        },
    },
}
TOOLS = json.dumps([WEATHER, {"type": "function", "function": {"name": "ping", "parameters": {"type": "object"}}}])


def call(name: str = "weather.get", **arguments: Any) -> dict[str, Any]:
    return {"name": name, "arguments": arguments}


def sent(*calls: dict[str, Any]) -> str:
    """Calls as a server sends them: arguments as a JSON string, inside OpenAI's envelope."""
    return json.dumps(
        [
            {"id": "1", "type": "function", "function": {**one, "arguments": json.dumps(one["arguments"])}}
            for one in calls
        ]
    )


def judged(
    calls: list[dict[str, Any]] | str | None,
    reference: list[dict[str, Any]] | str,
    tools: str | None = TOOLS,
    text: str = "",
    finish_reason: str = "tool_calls",
) -> Verdict:
    made = sent(*calls) if isinstance(calls, list) else calls
    wanted = json.dumps(reference) if isinstance(reference, list) else reference
    return judge(Completion(text, made, finish_reason), Task(wanted, tools))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"city": "New York, NY"}, {"city": "new york NY"}),
        ({"city": "it's"}, {"city": 'it"s'}),
        ({"city": "a", "heat": 5}, {"city": "a", "heat": 5.0}),
        ({"city": "a", "heat": 0.1 + 0.2}, {"city": "a", "heat": 0.3}),
        ({"city": "a", "tags": ["X-Y", "z"]}, {"city": "a", "tags": ["xy", "Z"]}),
        ({"city": "a", "where": {"lat": 1}}, {"city": "a", "where": {"lat": 1.0}}),
        ({"city": "a", "days": 1}, {"city": "a"}),
        ({"city": "a"}, {"city": "a", "days": 1}),
    ],
)
def test_arguments_that_say_the_same_pass(arguments: dict[str, Any], expected: dict[str, Any]) -> None:
    """Case, punctuation, int for float and a default left out make no difference."""
    assert judged([call(**arguments)], [call(**expected)]).verdict == "pass"


@pytest.mark.parametrize(
    ("arguments", "expected", "reason"),
    [
        ({"city": "Rome"}, {"city": "Paris"}, 'city is "Rome", expected "Paris"'),
        ({"days": 1}, {"city": "a", "days": 1}, "required city is missing"),
        ({"city": "a", "dais": 2}, {"city": "a"}, "there is no parameter dais"),
        ({"city": "a", "days": 2}, {"city": "a"}, "days is 2, expected to be left out"),
        ({"city": "a"}, {"city": "a", "exact": True}, "exact is missing, expected true"),
        ({"city": "a", "days": 2.0}, {"city": "a", "days": 2}, "days is 2.0, expected type integer"),
        ({"city": "a", "days": "2"}, {"city": "a", "days": 2}, 'days is "2", expected type integer'),
        ({"city": "a", "exact": 1}, {"city": "a", "exact": True}, "exact is 1, expected type boolean"),
        ({"city": "a", "heat": True}, {"city": "a", "heat": 1}, "heat is true, expected type number"),
        ({"city": "a", "heat": 1.001}, {"city": "a", "heat": 1.0}, "heat is 1.001, expected 1.0"),
        ({"city": "1.5"}, {"city": "15"}, 'city is "1.5", expected "15"'),
        ({"city": "a", "tags": ["x", "y"]}, {"city": "a", "tags": ["y", "x"]}, 'tags is ["x", "y"]'),
        ({"city": "a", "tags": [1]}, {"city": "a", "tags": ["1"]}, "expected type array"),
        ({"city": "a", "where": {}}, {"city": "a", "where": {"lat": 1}}, "where is {}"),
    ],
)
def test_arguments_that_differ_fail_and_the_reason_says_how(
    arguments: dict[str, Any], expected: dict[str, Any], reason: str
) -> None:
    """Values, types, missing and surplus parameters are each named."""
    verdict = judged([call(**arguments)], [call(**expected)])
    assert verdict.verdict == "fail"
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1/12/2025", "11/2/2025"),
        ("15 km", "1.5 km"),
        ("5 C", "-5 C"),
        ("x*2", "x^2"),
        ("5-1", "51"),
    ],
)
def test_strings_with_other_numbers_in_them_differ(value: str, expected: str) -> None:
    """BFCL drops all punctuation; where that changes a number or a power, it counts."""
    assert judged([call(city=value)], [call(city=expected)]).verdict == "fail"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025/03/04", "2025-03-04"),
        ("20250304", "2025-03-04"),
        ("$1,000", "$1000"),
        ("x**2", "x^2"),
        ("5551234", "555 1234"),
    ],
)
def test_strings_with_the_same_numbers_in_other_punctuation_are_the_same(value: str, expected: str) -> None:
    """Dates, telephone numbers and amounts are written in several ways."""
    assert judged([call(city=value)], [call(city=expected)]).verdict == "pass"


def with_rule(rule: dict[str, Any]) -> str:
    parameters = {"type": "object", "properties": {"value": rule}, "required": ["value"]}
    return json.dumps([{"type": "function", "function": {"name": "set", "parameters": parameters}}])


@pytest.mark.parametrize(
    ("rule", "right", "wrong", "reason"),
    [
        ({"type": "integer"}, 3, 3.5, "expected type integer"),
        ({"type": "integer"}, 3, True, "expected type integer"),
        ({"type": "number"}, 0.3, "0.3", "expected type number"),
        ({"type": "boolean"}, True, "true", "expected type boolean"),
        ({"type": "array", "items": {"type": "integer"}}, [1, 2], [1, "2"], "expected type array"),
        ({"type": "object", "properties": {"a": {"type": "string"}}}, {"a": "x"}, {"a": 1}, "expected type object"),
        ({"type": "string", "enum": ["low", "high"]}, "low", "medium", 'expected one of ["low", "high"]'),
        ({"type": "string", "nullable": True}, None, 0, "expected type string"),
        ({"type": "string", "enum": ["low"], "nullable": True}, None, "high", 'expected one of ["low"]'),
        ({"type": ["string", "null"]}, None, 0, "expected type string or null"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None, "none", "expected type integer or null"),
    ],
)
def test_values_keep_to_the_json_schema_of_their_parameter(
    rule: dict[str, Any], right: Any, wrong: Any, reason: str
) -> None:
    """The type is named where it is broken; the right value of that type passes."""
    tools = with_rule(rule)
    assert judged([call("set", value=right)], [call("set", value=right)], tools).verdict == "pass"
    verdict = judged([call("set", value=wrong)], [call("set", value=right)], tools)
    assert verdict.verdict == "fail"
    assert reason in verdict.reason


def test_a_reference_that_breaks_its_own_schema_is_unverifiable() -> None:
    """No call could be both what the tool takes and what the reference wants."""
    verdict = judged([call("set", value=5)], [call("set", value="5")], with_rule({"type": "integer"}))
    assert (verdict.verdict, verdict.reason) == (
        "unverifiable",
        'the reference breaks its own schema: set: value is "5", expected type integer',
    )


def test_parallel_calls_pass_in_any_order_and_each_only_once() -> None:
    """Calls are matched one to one."""
    one, two = call(city="a"), call(city="b")
    assert judged([two, one], [one, two]).verdict == "pass"
    assert judged([one, one], [one, two]).verdict == "fail"
    verdict = judged([one], [one, two])
    assert (verdict.verdict, verdict.reason) == (
        "fail",
        "calls: 1 (weather.get), expected 2 (weather.get, weather.get)",
    )


@given(st.permutations([call(city="a", days=2), call(city="a", days=3), call(city="b"), call("ping")]))
def test_every_order_of_the_right_calls_passes(calls: list[dict[str, Any]]) -> None:
    """Order never counts."""
    assert (
        judged(calls, [call(city="a", days=2), call(city="a", days=3), call(city="b"), call("ping")]).verdict == "pass"
    )


def test_another_tool_fails() -> None:
    """A tool that exists but is not wanted, and one that does not exist, are told apart."""
    assert judged([call("ping")], [call(city="a")]).reason == "called ping, expected weather.get"
    assert judged([call("pong")], [call("ping")]).reason == "called pong, which is not among the tools"


def test_a_name_whose_dots_an_api_refused_is_the_same_name() -> None:
    """`weather.get` comes back as `weather_get`."""
    assert judged([call("weather_get", city="a")], [call(city="a")]).verdict == "pass"
    assert judged([call(city="a")], [call("weather_get", city="a")]).verdict == "pass"


def test_where_no_call_is_right_only_no_call_passes() -> None:
    """An empty list of calls is a reference too."""
    assert judged(None, [], text="I cannot.").verdict == "pass"
    assert judged([call("ping")], []).reason == "called ping, expected no call"


def test_text_is_no_call() -> None:
    """A call written into the text does not count, unless it was the token limit that ended it: then there is none."""
    text = json.dumps(call(city="a"))
    assert judged(None, [call(city="a")], text=text) == Verdict("fail", "no call, expected weather.get")
    assert judged(None, [call(city="a")], text=text, finish_reason="length").verdict == "no_answer"


def test_a_call_that_was_cut_off_is_no_answer() -> None:
    """Half a call says nothing of the whole; the same half sent on purpose is wrong."""
    half = json.dumps([{"function": {"name": "weather.get", "arguments": '{"city": "a'}}])
    assert judged(half, [call(city="a")], finish_reason="length").verdict == "no_answer"
    assert judged(half, [call(city="a")]).verdict == "fail"
    assert judged([call(city="a")], [call(city="a")] * 2, finish_reason="length").verdict == "no_answer"


@pytest.mark.parametrize("arguments", ['{"city": "a', "[]", "[" * 5000, '{"city": ' + "9" * 5000 + "}", "null"])
def test_arguments_that_are_no_object_fail(arguments: str) -> None:
    """Whatever a model sends as arguments is judged, never raised."""
    made = json.dumps([{"function": {"name": "weather.get", "arguments": arguments}}])
    assert judged(made, [call(city="a")]).verdict == "fail"


@pytest.mark.parametrize(
    ("reference", "tools"),
    [
        ("not JSON", TOOLS),
        ('{"name": "ping"}', TOOLS),
        ('[{"arguments": {}}]', TOOLS),
        ('[{"name": "ping"}]', '[{"function": {}}]'),
        ('[{"name": "ping"}]', "{"),
        ('[{"name": "nowhere", "arguments": {}}]', TOOLS),
    ],
)
def test_a_reference_that_cannot_be_used_is_not_the_answers_fault(reference: str, tools: str) -> None:
    """A broken row is unverifiable."""
    assert judged([call("ping")], reference, tools).verdict == "unverifiable"


def test_references_may_carry_their_arguments_as_a_json_string() -> None:
    """As the API itself writes them; and without any tools only the calls themselves are compared."""
    reference = '[{"name": "ping", "arguments": "{\\"n\\": 1}"}]'
    assert judged([call("ping", n=1)], reference, tools=None).verdict == "pass"


def accepting(name: str = "weather.get", **accepted: list[Any]) -> list[dict[str, Any]]:
    """A reference as BFCL's ground truth: each argument with its accepted values."""
    return [{"name": name, "accepted": accepted}]


@pytest.mark.parametrize(
    "arguments",
    [
        {"city": "New York"},
        {"city": "new-york"},
        {"city": "NYC", "heat": 5},
        {"city": "NYC", "tags": ["a", "B"]},
        {"city": "NYC", "tags": ["c"]},
        {"city": "NYC", "days": 1},
        {"city": "NYC", "where": {"lat": 41}},
        {"city": "NYC", "where": {"lat": 40.0, "note": "x"}},
    ],
)
def test_an_argument_may_have_any_of_its_accepted_values(arguments: dict[str, Any]) -> None:
    """An empty text among them says that it may be left out; objects inside list theirs likewise."""
    where = {"lat": [40, 41.0], "note": ["x", ""]}
    reference = accepting(
        city=["New York", "NYC"], heat=[5.0, ""], tags=[["A", "b"], ["c"], ""], days=[1, ""], where=[where, ""]
    )
    assert judged([call(**arguments)], reference).verdict == "pass"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"city": "Paris"}, 'city is "Paris", expected one of ["New York", "NYC"]'),
        ({"city": "NYC", "heat": 6}, "heat is 6, expected 5.0"),
        ({"city": "NYC", "tags": ["A"]}, 'tags is ["A"], expected ["A", "b"]'),
        ({"city": "NYC", "where": {"lat": 42}}, 'where is {"lat": 42}, expected {"lat": [40, 41.0]}'),
        ({"city": "NYC", "where": {}}, "where is {}"),
        ({"city": "NYC", "where": {"lat": 40, "lon": 1}}, 'where is {"lat": 40, "lon": 1}'),
        ({"city": "NYC", "exact": True}, "exact is true, expected to be left out"),
        ({"city": "NYC", "heat": "5.0"}, 'heat is "5.0", expected type number'),
    ],
)
def test_a_value_that_is_none_of_the_accepted_fails_and_the_reason_says_so(
    arguments: dict[str, Any], reason: str
) -> None:
    """What would have been right is named, without the mark of what may be left out."""
    where = {"lat": [40, 41.0]}
    reference = accepting(city=["New York", "NYC"], heat=[5.0, ""], tags=[["A", "b"], ""], where=[where, ""])
    verdict = judged([call(**arguments)], reference)
    assert verdict.verdict == "fail"
    assert reason in verdict.reason


def test_an_accepted_argument_that_may_not_be_left_out_is_missed() -> None:
    """Unless its schema's default is among the accepted values."""
    assert judged([call(city="a")], accepting(city=["a"], heat=[5.0])).reason.endswith("heat is missing, expected 5.0")
    assert judged([call(city="a")], accepting(city=["a"], days=[1, 2])).verdict == "pass"
    assert judged([call(city="a")], accepting(city=["a"], days=[2, 3])).verdict == "fail"


def test_parallel_calls_with_accepted_values_pass_in_any_order() -> None:
    """Each expected call is made once, though one call would fit both."""
    reference = accepting(city=["a", "b"]) + accepting(city=["a"])
    assert judged([call(city="a"), call(city="b")], reference).verdict == "pass"
    assert judged([call(city="b"), call(city="b")], reference).verdict == "fail"


lists = st.lists(st.integers(0, 3) | st.text("ab", max_size=2), min_size=1, max_size=4)


@given(lists, st.integers(0, 3) | st.text("ab", max_size=2))
def test_a_list_of_accepted_values_is_the_calls_with_each_of_them(accepted: list[Any], value: Any) -> None:
    """It passes exactly what one of the plain references would."""
    tools = json.dumps([{"name": "f", "parameters": {"type": "object", "properties": {"x": {}}}}])
    made = [call("f", x=value)]
    plain = [judged(made, [call("f", x=each)], tools).verdict for each in accepted]
    assert (judged(made, accepting("f", x=accepted), tools).verdict == "pass") == ("pass" in plain)


@pytest.mark.parametrize(
    "reference",
    ['[{"accepted": {}}]', '[{"name": "ping", "accepted": []}]', '[{"name": "ping", "accepted": {"n": 1}}]'],
)
def test_accepted_values_that_are_no_lists_are_not_the_answers_fault(reference: str) -> None:
    """A broken row is unverifiable; and no model can bring accepted values of its own."""
    assert judged([call("ping")], reference).verdict == "unverifiable"
    assert judged('[{"name": "ping", "accepted": {}}]', [call("ping", n=1)], tools=None).verdict == "fail"
