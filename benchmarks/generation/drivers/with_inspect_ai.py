"""Inspect with `epochs`, no scorer, and as many samples as connections; its log is its result."""

from __future__ import annotations

import os

from task import CANDIDATES_A_QUESTION, MAX_TOKENS, MODEL, TEMPERATURE, asked


def main() -> None:
    os.environ["OPENAI_API_KEY"] = "none"
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.solver import generate

    given = asked()
    task = Task(dataset=MemoryDataset([Sample(input=each) for each in given.questions]), solver=generate())
    (log,) = evaluate(
        task,
        model=f"openai/{MODEL}",
        model_base_url=given.url,
        model_args={"responses_api": False},
        epochs=CANDIDATES_A_QUESTION,
        max_connections=given.concurrency,
        max_samples=given.concurrency,
        temperature=TEMPERATURE,
        max_tokens=MAX_TOKENS,
        score=False,
        display="none",
        log_level="error",
        log_realtime=False,
        log_model_api=False,
        ctl_server=False,
        log_dir="logs",
        log_header_only=True,
    )
    # Its own count: to read the log again, whole, takes as much CPU as to write it.
    assert log.status == "success", log.error
    assert log.results.completed_samples == given.candidates, log.results


if __name__ == "__main__":
    main()
