"""Multiple choice compares letters; exact answers compare letter by letter; no verifier judges nothing."""

from __future__ import annotations

import pytest

from bon_hydra.verifiers import UnknownVerifier, choice, exact, none, verifier_of
from bon_hydra.verifiers.completion import Completion, Task


@pytest.mark.parametrize("reference", [r"\text{A}", "A", "(A)", "A.", "A) 5 m", r"\boxed{A}".removeprefix(r"\boxed")])
@pytest.mark.parametrize(
    ("text", "way"),
    [
        (r"so \boxed{A}", "boxed"),
        (r"\boxed{\text{(A)}}", "boxed"),
        (r"\boxed{\textbf{(A)}\ 5}", "boxed"),
        (r"\boxed{A) 5\,m}", "boxed"),
        (r"\boxed{a}", "boxed"),
        ("B looks right, but the answer is (A).", "answer is"),
        ("**Answer: A**", "answer is"),
        (r"The correct option is \(\text{A}\)", "answer is"),
        ("The correct answer is option A: 5 m", "answer is"),
        ("A", "lone letter"),
        ("**A**", "lone letter"),
        ("A. 5 m", "lone letter"),
        ("Let me think about B.\n\n**A) 5 m**", "lone letter"),
    ],
)
def test_a_choice_is_found_however_it_is_marked(text: str, way: str, reference: str) -> None:
    """Boxed, stated or alone: the letter counts, and the reason says how it was found."""
    verdict = choice.judge(Completion(text), Task(reference))
    assert (verdict.verdict, verdict.answer, verdict.reason) == ("pass", "A", f"{way} A, reference A")


def test_another_letter_fails() -> None:
    """The reason names both letters."""
    verdict = choice.judge(Completion("The answer is (B)."), Task(r"\text{A}"))
    assert (verdict.verdict, verdict.reason) == ("fail", "answer is B, reference is A")


@pytest.mark.parametrize("text", ["The answer is a bit hard.", "I think A or B", "The answer is A or B", r"\boxed{AB}"])
def test_no_letter_or_several_are_no_answer(text: str) -> None:
    """What does not choose is not given a choice."""
    assert choice.judge(Completion(text), Task("A")).verdict == "no_answer"


def test_a_cut_off_choice_counts_only_where_it_is_explicit() -> None:
    """A letter that stands alone in a cut-off text may be anything."""
    assert choice.judge(Completion("A. 5 m", finish_reason="length"), Task("A")).verdict == "no_answer"
    assert choice.judge(Completion(r"\boxed{A} as", finish_reason="length"), Task("A")).verdict == "pass"


def test_a_reference_that_is_no_letter_is_unverifiable() -> None:
    """A wrong reference is not a wrong answer."""
    assert choice.judge(Completion(r"\boxed{A}"), Task("42")).verdict == "unverifiable"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Paris\n", "pass"),
        (r"It is \boxed{Paris}.", "pass"),
        ("<think>London?</think>Paris", "pass"),
        ("paris", "fail"),
        ("Paris!", "fail"),
        ("It is Paris", "fail"),
    ],
)
def test_an_exact_answer_is_the_reference_letter_by_letter(text: str, verdict: str) -> None:
    """Only surrounding space, thoughts and a box do not count."""
    assert exact.judge(Completion(text), Task(" Paris ")).verdict == verdict


def test_a_cut_off_exact_answer_without_a_box_is_no_answer() -> None:
    """The rest of it is missing."""
    assert exact.judge(Completion("Par", finish_reason="length"), Task("Paris")).verdict == "no_answer"


def test_without_a_verifier_nothing_is_judged() -> None:
    """Answers are kept, and never counted."""
    assert none.judge(Completion("42"), Task("42")).verdict == "unverifiable"


def test_verifiers_are_known_by_name_and_version() -> None:
    """The column says who judged; a name nobody knows says which are known."""
    assert verifier_of("math").startswith("math 2 (math-verify ")
    assert verifier_of("choice") == "choice 1"
    with pytest.raises(UnknownVerifier, match=r"no verifier 'maths'.* did you mean math"):
        verifier_of("maths")
