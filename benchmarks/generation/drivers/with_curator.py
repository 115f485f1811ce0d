"""Curator with its own asynchronous OpenAI backend: as many requests at once as asked for, no limit a minute."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from task import CANDIDATES_A_QUESTION, MAX_TOKENS, MODEL, TEMPERATURE, asked, is_answer


def main() -> None:
    litellm = importlib.util.find_spec("litellm")
    assert litellm is not None
    assert litellm.origin is not None
    os.environ |= {
        "OPENAI_API_KEY": "none",
        "CURATOR_CACHE_DIR": str(Path("cache").resolve()),
        "HF_HOME": str(Path("hf").resolve()),
        "CURATOR_VIEWER": "0",
        "TELEMETRY_ENABLED": "0",
        # Curator counts a prompt's tokens; the encoding is in litellm already, so nothing is fetched for it.
        "TIKTOKEN_CACHE_DIR": str(Path(litellm.origin).parent / "litellm_core_utils" / "tokenizers"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "CURATOR_DISABLE_RICH_DISPLAY": "1",
    }
    from bespokelabs import curator

    given = asked()
    llm = curator.LLM(
        model_name=MODEL,
        backend="openai",
        generation_params={"temperature": TEMPERATURE, "max_tokens": MAX_TOKENS},
        backend_params={
            "base_url": given.url,
            "max_concurrent_requests": given.concurrency,
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 10_000_000_000,
        },
    )
    answers = llm([question for question in given.questions for _ in range(CANDIDATES_A_QUESTION)]).dataset["response"]
    assert len(answers) == given.candidates, len(answers)
    assert all(map(is_answer, answers))


if __name__ == "__main__":
    main()
