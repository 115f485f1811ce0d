"""openai/gsm8k: grade-school word problems.

    {"question": "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did Natalia sell altogether in April and May?",
     "answer": "Natalia sold 48/2 = <<48/2=24>>24 clips in May.\\nNatalia sold 48+24 = <<48+24=72>>72 clips altogether in April and May.\\n#### 72"}

Config `main`, splits train and test.
"""  # noqa: E501

from __future__ import annotations

from bon_hydra.queries.parts import Parts, Row, SkippedRow, user

COLUMNS = ("question", "answer")
VERIFIER = "math"


def parts(row: Row) -> Parts:
    """The reference is what follows the last `####`, without the thousands' commas."""
    _, mark, final = str(row.get("answer") or "").rpartition("####")
    if not mark or not final.strip():
        raise SkippedRow("no answer after #### in column 'answer'")
    return Parts(user(row.get("question"), "question"), final.replace(",", "").strip(), VERIFIER)
