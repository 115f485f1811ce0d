r"""HuggingFaceH4/MATH-500: competition problems.

    {"problem": "Convert the point $(0,3)$ in rectangular coordinates to polar coordinates.  Enter your answer in the form $(r,\theta),$ where $r > 0$ and $0 \le \theta < 2 \pi.$",
     "solution": "We have that $r = \sqrt{0^2 + 3^2} = 3.$ [...] \\[\boxed{\left( 3, \frac{\pi}{2} \right)}.\\]",
     "answer": "\left( 3, \frac{\pi}{2} \right)", "subject": "Precalculus", "level": 2, "unique_id": "test/precalculus/807.json"}

One split, `test`.
"""  # noqa: E501

from __future__ import annotations

from bon_hydra.queries.json_numbers import as_text
from bon_hydra.queries.parts import Parts, Row, user

COLUMNS = ("problem", "answer")
VERIFIER = "math"


def parts(row: Row) -> Parts:
    """The reference is the answer as LaTeX."""
    return Parts(
        user(row.get("problem"), "problem"),
        as_text(row.get("answer")),
        VERIFIER,
        source_id=as_text(row.get("unique_id")),
    )
