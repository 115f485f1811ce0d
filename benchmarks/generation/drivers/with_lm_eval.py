"""lm-eval as its pages say for an API: `local-chat-completions` with `num_concurrent`, and a task of our own with
`repeats: 4`, without a tokenizer. Nothing is scored (`bypass`), every sample is logged (`--log_samples`).
"""

from __future__ import annotations

import json
import os
import sys
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

    from lm_eval.__main__ import cli_evaluate

    model = f"base_url={given.url}/chat/completions,model={MODEL},num_concurrent={given.concurrency}"
    sys.argv = [
        "lm_eval", "run", "--model", "local-chat-completions",
        "--model_args", model + ",tokenizer_backend=none,tokenized_requests=False",
        "--tasks", "best_of_n", "--include_path", ".", "--apply_chat_template",
        "--output_path", "results", "--log_samples",
    ]  # fmt: skip
    cli_evaluate()

    (samples,) = Path("results").rglob("samples_*.jsonl")
    answers = [text for line in samples.open() for response in json.loads(line)["resps"] for text in response]
    assert len(answers) == given.candidates, len(answers)
    assert all(map(is_answer, answers))


if __name__ == "__main__":
    main()
