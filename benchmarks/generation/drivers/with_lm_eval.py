"""lm-eval as its pages say for an API: `local-chat-completions` with `num_concurrent`, without a tokenizer.

A task of our own has `repeats: 4`; nothing is scored (`bypass`) and every sample is logged, as with `--log_samples`.
From Python, since the command line indexes all tasks there are at each start (some 15 s of CPU here).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from task import CANDIDATES_A_QUESTION, MAX_TOKENS, MODEL, TEMPERATURE, asked, is_answer

TASK = f"""\
task: best_of_n
dataset_path: json
dataset_kwargs:
  data_files: questions.jsonl
test_split: train
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: ""
repeats: {CANDIDATES_A_QUESTION}
generation_kwargs:
  until: []
  do_sample: true
  temperature: {TEMPERATURE}
  max_gen_toks: {MAX_TOKENS}
metric_list:
  - metric: bypass
"""


def main() -> None:
    os.environ |= {"OPENAI_API_KEY": "none", "HF_HOME": str(Path("cache").resolve()), "LOGLEVEL": "ERROR"}
    given = asked()
    Path("best_of_n.yaml").write_text(TASK)
    Path("questions.jsonl").write_text("".join(json.dumps({"question": each}) + "\n" for each in given.questions))

    from lm_eval import simple_evaluate
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    tracker = EvaluationTracker(output_path="results")
    results = simple_evaluate(
        model="local-chat-completions",
        model_args={
            "base_url": f"{given.url}/chat/completions",
            "model": MODEL,
            "num_concurrent": given.concurrency,
            "tokenizer_backend": None,
            "tokenized_requests": False,
        },
        tasks=["best_of_n"],
        task_manager=TaskManager(include_path=".", include_defaults=False),
        apply_chat_template=True,
        evaluation_tracker=tracker,
        bootstrap_iters=0,
    )
    logged = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=logged)
    tracker.save_results_samples(task_name="best_of_n", samples=logged["best_of_n"])

    (samples,) = Path("results").rglob("samples_*.jsonl")
    answers = [text for line in samples.open() for response in json.loads(line)["resps"] for text in response]
    assert len(answers) == given.candidates, len(answers)
    assert all(map(is_answer, answers))


if __name__ == "__main__":
    main()
