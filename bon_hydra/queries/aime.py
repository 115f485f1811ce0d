r"""HuggingFaceH4/aime_2024 (one split, `train`): 30 problems whose answers are whole numbers from 0 to 999.

    {"id": 60, "problem": "Every morning Aya goes for a $9$-kilometer-long walk and stops at a coffee shop [...]",
     "solution": "$\frac{9}{s} + t = 4$ in hours and $\frac{9}{s+2} + t = 2.4$ in hours. [...] \boxed{204}",
     "answer": "204", "url": "https://artofproblemsolving.com/wiki/[...]", "year": "2024"}

Some copies hold id and answer as numbers.
"""

from __future__ import annotations

from bon_hydra.queries.json_numbers import as_text
from bon_hydra.queries.parts import Parts, Row, user

COLUMNS = ("problem", "answer")
VERIFIER = "math"


def parts(row: Row) -> Parts:
    """The reference is the answer, which some copies hold as a number."""
    return Parts(
        user(row.get("problem"), "problem"), as_text(row.get("answer")), VERIFIER, source_id=as_text(row.get("id"))
    )
