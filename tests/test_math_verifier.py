"""The math verifier finds the final answer in a text and knows when two ways of writing it say the same."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.records import Verdict
from bon_hydra.verifiers import units, warmth
from bon_hydra.verifiers.completion import Completion, Task, settled
from bon_hydra.verifiers.extraction import final_answer
from bon_hydra.verifiers.math import canonical, judge, read_reference, same
from bon_hydra.verifiers.relations import described_set


def judged(text: str, reference: str, finish_reason: str = "stop") -> Verdict:
    return judge(Completion(text, finish_reason=finish_reason), Task(reference))


def boxed(answer: str, reference: str) -> str:
    return judged(rf"So we get \boxed{{{answer}}}.", reference).verdict


SAME = [
    ("42", "42"),
    ("1,000", "1000"),
    (r"\$70{,}000", "70000"),
    (r"1\,000", "1000"),
    ("0.5", r"\frac{1}{2}"),
    (r"\dfrac12", "1/2"),
    (r"3\frac{1}{2}", "3.5"),
    (r"3 \tfrac{1}{2}", r"\frac{7}{2}"),
    ("3 1/2", "3.5"),
    (r"-\frac{1}{2}", r"\frac{-1}{2}"),
    (r"0.\overline{3}", r"\frac13"),
    ("0.333333", "1/3"),
    (r"1.5 \times 10^{3}", "1500"),
    ("50", r"50\%"),
    ("0.5", r"50\%"),
    ("x = 5", "5"),
    ("5", "x = 5"),
    ("x = 2 + 3 = 5", "5"),
    (r"5 \text{ cm}", "5"),
    (r"18\text{ dollars}", r"\$18"),
    (r"500\text{ cm}", r"5\text{ m}"),
    (r"16\pi \text{ cm}^2", r"16\pi"),
    (r"90^\circ", "90"),
    ("-q + p", "p - q"),
    (r"4 \sqrt{b + d^2}", r"4\sqrt{d^{2} + b}"),
    (r"\left(3, \frac{\pi}{2}\right)", r"(3, \frac{\pi}{2})"),
    (r"[0, 1]", "[0,1]"),
    (r"\{2, 1\}", r"\{1,2\}"),
    (r"2 \text{ and } 1", "1, 2"),
    (r"\begin{bmatrix} 1 & 2 \\ 3 & 4 \end{bmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
    (r"(-\infty, 1) \cup (2, \infty)", r"(-\infty,1)\cup(2,\infty)"),
    ("x < 3", r"(-\infty, 3)"),
    (r"\sqrt{12}", r"2\sqrt{3}"),
    ("2*sqrt(3)", r"2\sqrt{3}"),
    ("(x+1)^2", "x^2+2x+1"),
    ("3i + 2", "2+3i"),
    (r"\text{Evelyn}", "Evelyn"),
    ("evelyn", r"\text{Evelyn}"),
    (r"\text{(C)}", "C"),
]

DIFFERENT = [
    ("41", "42"),
    ("-42", "42"),
    ("5x", "5"),
    ("5", "5x"),
    ("5i", "5"),
    ("5 million", "5"),
    ("1 2", "12"),
    ("3 1/2", "31/2"),
    ("0.3333", "1/3"),
    ("0.0000002", "0.0000001"),
    ("3.14", r"\pi"),
    ("2, 3", "2"),
    ("2 or 3", "2"),
    ("y = 5", "x = 5"),
    (r"5 \text{ m}", r"5 \text{ cm}"),
    (r"5 \text{ m}^2", r"5 \text{ cm}^2"),
    ("(0, 1)", "[0, 1]"),
    ("(1, 2)", r"\{1, 2\}"),
    (r"(-\infty, 3]", r"(-\infty, 3)"),
    (r"\begin{bmatrix} 1 & 2 \\ 3 & 5 \end{bmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
    ("(x+1)^3", "x^2+2x+1"),
    ("yx^2", "xy"),
    ("-i", "i"),
    ("odd", "even"),
    (r"\text{(D)}", "C"),
]


@pytest.mark.parametrize(("answer", "reference"), SAME)
def test_an_answer_written_otherwise_than_the_reference_passes(answer: str, reference: str) -> None:
    """Notation is not mathematics: the same value in another dress is right."""
    assert boxed(answer, reference) == "pass"


@pytest.mark.parametrize(("answer", "reference"), DIFFERENT)
def test_an_answer_that_only_looks_like_the_reference_fails(answer: str, reference: str) -> None:
    """What differs mathematically is wrong, however little it differs in writing."""
    assert boxed(answer, reference) == "fail"


@pytest.mark.parametrize(
    ("text", "answer", "way"),
    [
        (r"First \boxed{1}, then \boxed{\frac{1}{2}}.", "1/2", "boxed"),
        (r"The answer is 7, that is \boxed{8}. 9", "8", "boxed"),
        (r"\boxed{6} and the rest \boxed{", "6", "boxed"),
        (r"\boxed{\boxed{5}}", "5", "boxed"),
        (r"\boxed 5", "5", "boxed"),
        ("The answer is 42. It took 3 steps.", "42", "answer is"),
        ("The answer is $42$ apples, for 3 people.", "42", "answer is"),
        ("The final answer is therefore 1,234 apples in total.", "1234", "answer is"),
        (r"Answer: \(\frac{3}{4}\)", "3/4", "answer is"),
        ("**Answer:** 3.5", "3.5", "answer is"),
        ("**Final Answer**\n\n8 hours", "8", "answer is"),
        ("She makes 2 + 2 = 4.\n#### 4", "4", "answer is"),
        ("The answer is 12. Let me see if the answer is correct.", "12", "answer is"),
        ("The answer is x = 5.", "5", "answer is"),
        ("the answer is Evelyn.", "Evelyn", "answer is"),
        ("The answer is as follows: we add 3 and 4 and get 7", "7", "last number"),
        ("so she makes $18 every day.", "18", "last number"),
        ("10-5 = 5", "5", "last number"),
        ("it falls to -5 degrees.", "-5", "last number"),
        (r"that is \frac{3}{4}", "3/4", "last number"),
        ("about 25%", "25%", "last number"),
    ],
)
def test_the_final_answer_is_the_last_box_else_what_is_stated_else_the_last_number(
    text: str, answer: str, way: str
) -> None:
    """Explicit answers win over mere numbers, later ones over earlier ones, and the reason says which it was."""
    verdict = judged(text, "-1000")
    assert (verdict.answer, verdict.verdict) == (answer, "fail")
    assert verdict.reason == f"{way} {answer}, reference is -1000"


def test_texts_and_numbers_are_judged_without_loading_what_reads_mathematics(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker loads that for the first answer which needs it."""
    monkeypatch.setattr(warmth, "cold", True)
    assert [boxed("1,234.50", "1234.5"), boxed("8", "7"), boxed("yes", "Yes")] == ["pass", "fail", "pass"]
    read_reference(Task("1,234.50"))
    with pytest.raises(warmth.Cold):
        boxed("x^2 + 2x + 98765", "98765 + x(x+2)")


def test_the_reason_names_both_sides() -> None:
    """One line says what was found, how, and what was wanted."""
    assert judged(r"\boxed{42}", "42").reason == "boxed 42, reference 42"
    assert judged(r"\boxed{41}", "42").reason == "boxed 41, reference is 42"
    assert judged(r"\boxed{5\text{ m}}", r"5\text{ cm}").reason == "boxed 5 m, reference is 5 cm"


@pytest.mark.parametrize("text", ["We add 3 and 4 to get 7", "The answer is 4", r"so \boxed{4", "The answer is 4."])
def test_a_cut_off_answer_is_never_judged_by_a_number_it_may_not_have_finished(text: str) -> None:
    """The last number, and a statement that the cut may have gone through, are no final answer."""
    assert judged(text, "4", finish_reason="length").verdict == "no_answer"


@pytest.mark.parametrize("text", [r"\boxed{4} and then", "The answer is 4.\nLet us check", "The answer is $4$"])
def test_a_cut_off_answer_is_judged_by_an_explicit_final_answer(text: str) -> None:
    """What was said before the cut still counts."""
    assert judged(text, "4", finish_reason="length").verdict == "pass"


def test_an_answer_without_anything_final_is_no_answer() -> None:
    """Words alone say nothing to judge."""
    assert judged("I do not know.", "42").verdict == "no_answer"


@pytest.mark.parametrize("reference", [r"\frac{1}{\sqrt{", "x^{2}+", r"x\mid y"])
def test_an_unreadable_reference_makes_every_answer_unverifiable(reference: str) -> None:
    """If only what equals it letter by letter were judged, all that was judged would be right."""
    for answer in ("7", "x"):
        verdict = judged(f"The answer is ${answer}$.", reference)
        assert verdict.verdict == "unverifiable"
        assert "cannot be read" in verdict.reason
    assert judged(f"The answer is ${reference}$.", reference).verdict == "unverifiable"


@pytest.mark.parametrize(
    ("reference", "other"),
    [
        ("blue", "green"),
        (r"\text{yes}", "no"),
        ("Ann", "Nan"),
        (r"\text{Al}", "La"),
        ("cat", "act"),
        (r"\text{June 20}", "June 21"),
        ("the x-axis", "y-axis"),
        ("3:45 p.m.", "3:45 a.m."),
        (r"\text{(B)}", "A"),
    ],
)
def test_words_choices_and_times_are_compared_as_texts(reference: str, other: str) -> None:
    """They are references like any other: an answer passes or fails."""
    assert boxed(reference, reference) == "pass"
    assert (
        boxed(reference.upper() if "(" not in reference and "\\" not in reference else reference, reference) == "pass"
    )
    assert boxed(rf"\text{{{other}}}", reference) == "fail"
    assert boxed("7", reference) == "fail"


def test_a_reference_whose_evaluation_met_a_limit_makes_every_answer_unverifiable() -> None:
    """Also one that equals it."""
    task = Task(r"\sqrt{2}+1", readable=False)
    assert judge(Completion(r"\boxed{\sqrt{2}+1}"), task).verdict == "unverifiable"
    assert judge(Completion(r"\boxed{42}"), Task("42", readable=False)).verdict == "pass"


def test_only_what_follows_the_last_closed_thought_is_judged() -> None:
    """An answer inside <think> is none, and a thought that was cut off has no answer."""
    text = r"<think>\boxed{1}</think>It is \boxed{2}."
    assert (judged(text, "1").verdict, judged(text, "2").verdict) == ("fail", "pass")
    cut = Completion(r"<think>maybe \boxed{1}", finish_reason="length")
    assert settled(cut, Task("1")) == Verdict("no_answer", "cut off before an answer")


def test_what_needs_no_judge_is_settled_beforehand() -> None:
    """Nothing to judge is no_answer, nothing to judge by is unverifiable."""
    assert settled(Completion(" \n"), Task("1")) == Verdict("no_answer", "empty answer")
    filtered = Completion("I", finish_reason="content_filter")
    assert settled(filtered, Task("1")) == Verdict("no_answer", "filtered by the server")
    assert settled(Completion("1"), Task(None)) == Verdict("unverifiable", "no reference")
    assert settled(Completion("1"), Task("1")) is None


def test_a_long_answer_is_stored_short_and_still_different_from_another() -> None:
    """The stored form keeps what distinguishes answers, in a few hundred characters."""
    one, other = (judged(rf"\boxed{{{'x' * 5000}{last}}}", "1").answer or "" for last in "yz")
    assert one != other
    assert len(one) < 300


def test_a_lone_surrogate_in_an_answer_can_be_stored() -> None:
    """What a server's broken bytes decode to must not break the parquet file."""
    verdict = judged("\\boxed{x\ud800}", "1")
    (verdict.answer or "").encode()
    verdict.reason.encode()


def test_answers_of_one_query_are_the_same_by_value() -> None:
    """Classes of answers go by meaning, not by writing."""
    assert same("1/2", "0.5")
    assert same(r"2\sqrt{3}", r"\sqrt{12}")
    assert not same("1/2", "1/3")
    assert canonical("x = 42.0") == canonical(r"\frac{84}{2}") == "42"


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        ("50", r"50\%", "pass"),
        (r"50\%", "50", "pass"),
        (r"50\%", "0.5", "pass"),
        ("0.5", r"50\%", "pass"),
        ("0.5", r"0.5\%", "fail"),
        (r"0.5\%", "0.5", "pass"),
        ("1", r"1\%", "fail"),
        ("0", r"0\%", "pass"),
    ],
)
def test_a_percentage_is_its_number_only_where_one_may_have_been_asked_for(
    reference: str, answer: str, verdict: str
) -> None:
    """Graders ask for "percent" with and without the sign; a probability of 0.5 is never 0.5%."""
    assert boxed(answer, reference) == verdict


@pytest.mark.parametrize(
    ("a", "b", "ratio"),
    [
        ("km/h", "m/s", Fraction(5, 18)),
        ("mph", "miles per hour", 1),
        ("ft^2", "in^2", 144),
        ("hours", "cm", 0),
        ("apples", "cm", 1),
        ("", "cm", 1),
        (r"^\circ c", r"^\circ f", 0),
        (r"^\circ", "degrees celsius", 1),
        ("radians", "degrees", 0),
    ],
)
def test_units_are_converted_where_both_are_known(a: str, b: str, ratio: Fraction) -> None:
    """Different measures never agree; what is not known says nothing."""
    assert units.ratio(a, b) == ratio


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("It takes 8 minutes.", "8 minutes"),
        ("So he drives 60 km per hour.", "60 km per hour"),
        ("He has 8 in total.", "8"),
        ("Then 7 m", "7"),
        ("There are 12 eggs.", "12"),
        ("Tom has 7, not 6.", "7"),
    ],
)
def test_the_last_number_keeps_a_unit_that_is_known(text: str, answer: str) -> None:
    """8 minutes are not 8 hours; "in" and single letters may be words."""
    final = final_answer(Completion(text))
    assert final is not None
    assert (final.text, final.way) == (answer, "last number")


@given(st.sampled_from(["<", ">", r"\le ", r"\ge ", "<=", ">="]), st.integers(-9, 9), st.integers(10, 20))
def test_an_inequality_describes_one_set_however_it_is_turned(relation: str, low: int, high: int) -> None:
    """x < 3 is 3 > x, and "or" is a union."""
    turned = {"<": ">", ">": "<", r"\le ": r"\ge ", r"\ge ": r"\le ", "<=": ">=", ">=": "<="}[relation]
    assert described_set(f"x{relation}{low}") == described_set(f"{low}{turned}x")
    _, one = described_set(f"x{relation}{low}") or ("", "")
    _, both = described_set(f"x{relation}{low}or x<{high}") or ("", "")
    assert both == rf"{one}\cup (-\infty,{high})"


@pytest.mark.parametrize("text", ["x<1 or y>3", "x", "1<2", "x<y", "1<x>3", "x=3", "x<3,y", r"\{1,2\}"])
def test_what_describes_no_set_of_numbers_is_left_alone(text: str) -> None:
    """Two variables, no variable, or relations that point both ways."""
    assert described_set(text) is None


def with_separators(number: int) -> str:
    return f"{number:,}"


WAYS = [
    str,
    with_separators,
    "{}.00".format,
    "${}$".format,
    r"\({}\)".format,
    "x = {}".format,
    r"\text{{{}}}".format,
    "{} apples".format,
    r"\frac{{{}}}{{1}}".format,
    "**{}**".format,
    lambda number: str(Fraction(number) * 2) + "/2",
    lambda number: with_separators(number).replace(",", "{,}"),
]


@given(st.integers(-(10**12), 10**12), st.sampled_from(WAYS), st.sampled_from(WAYS))
def test_a_number_equals_itself_however_it_is_written(number: int, way: object, other: object) -> None:
    """Any way of writing a number as the answer passes against any way of writing it as the reference."""
    assert callable(way)
    assert callable(other)
    assert boxed(way(number), other(number)) == "pass"


@given(st.fractions(max_denominator=10**4))
def test_a_fraction_equals_itself_as_mixed_number_slash_and_latex(value: Fraction) -> None:
    """The sign of a mixed number belongs to all of it."""
    sign, (whole, part) = "-" if value < 0 else "", divmod(abs(value), 1)
    mixed = rf"{sign}{whole}\frac{{{part.numerator}}}{{{part.denominator}}}"
    latex = rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"
    assert boxed(mixed, str(value)) == boxed(latex, str(value)) == boxed(latex, mixed) == "pass"


@given(st.integers(), st.integers(), st.sampled_from(WAYS))
def test_two_different_integers_are_never_the_same(number: int, other: int, way: object) -> None:
    """No way of writing makes one integer another."""
    assert callable(way)
    assert boxed(way(number), str(other)) == ("pass" if number == other else "fail")


texts = st.text(max_size=60) | st.sampled_from([r"\boxed{7}", "The answer is 7.", "7", "<think>", "\ud800", "{{{", "$"])


@given(texts, texts, st.sampled_from(["stop", "length"]))
def test_a_verdict_never_depends_on_what_stands_before_the_end_of_a_thought(before: str, text: str, end: str) -> None:
    """Thinking is not answering."""
    thought, plain = (Completion(each, finish_reason=end) for each in (f"{before}</think>{text}", text))
    assert settled(thought, Task("7")) == settled(plain, Task("7"))
    assert judge(thought, Task("7")) == judge(plain, Task("7"))
