"""Distilabel with `OpenAILLM`, which asks for a batch of inputs at once and waits for all of it.

One request a candidate needs one row a candidate (`num_generations=4` is one request with `n=4`). `input_batch_size`
and the replicas of the step together are the concurrency.
"""

from __future__ import annotations

import os
from pathlib import Path

from task import CANDIDATES_A_QUESTION, MAX_TOKENS, MODEL, TEMPERATURE, asked, is_answer

REPLICAS = 2


def main() -> None:
    os.environ |= {"HF_HOME": str(Path("hf").resolve()), "DISTILABEL_LOG_LEVEL": "ERROR"}
    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts, StepResources
    from distilabel.steps.tasks import TextGeneration

    given = asked()
    rows = [{"instruction": each} for each in given.questions for _ in range(CANDIDATES_A_QUESTION)]
    with Pipeline("best-of-n", cache_dir="cache") as pipeline:
        load = LoadDataFromDicts(data=rows, batch_size=given.concurrency)
        generate = TextGeneration(
            llm=OpenAILLM(
                model=MODEL,
                base_url=given.url,
                api_key="none",
                generation_kwargs={"temperature": TEMPERATURE, "max_new_tokens": MAX_TOKENS},
            ),
            input_batch_size=given.concurrency // REPLICAS,
            add_raw_input=False,
            add_raw_output=False,
            resources=StepResources(replicas=REPLICAS),
        )
        load >> generate
    answers = pipeline.run(use_cache=False)["default"]["train"]["generation"]
    assert len(answers) == given.candidates, len(answers)
    assert all(map(is_answer, answers))


if __name__ == "__main__":
    main()
