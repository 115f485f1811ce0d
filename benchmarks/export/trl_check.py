"""Does TRL train on what `bon export` writes?  python benchmarks/export/trl_check.py

Needs `pip install torch trl` beside bon_hydra; no network and no GPU: a randomly initialised model of two layers, a
tokenizer of bytes, and the chat template of Qwen2.5 that TRL carries. One step of each trainer, on a run without tools
and on one with tools, earlier calls and queries without tools among them. Outside CI, since torch is large.
"""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tests"))

from export_rows import WEATHER, call, candidate, study, write

from bon_hydra.export.dataset import export
from bon_hydra.export.options import Options

PACKAGES = ("trl", "transformers", "datasets", "torch")


def with_tools(path: Path) -> Path:
    """Half of the queries call tools after an earlier call; the others have none."""
    rows = []
    for number in range(30):
        history = [
            {"role": "user", "content": f"Weather in town {number}?"},
            {"role": "assistant", "content": None, "tool_calls": [call("get_weather", {"city": f"{number}"})]},
            {"role": "tool", "tool_call_id": "call_1", "content": "fog"},
            {"role": "user", "content": "And tomorrow?"},
        ]
        more: dict[str, Any] = {"messages": history, "tools": [WEATHER], "response": None, "split": "tool_calling"}
        rows += [
            candidate(f"t{number}", "pass", calls=[call("get_weather", {"city": f"{number}", "days": 2})], **more),
            candidate(f"t{number}", "fail", calls=[call("get_weather", {"city": "elsewhere", "odd": [0.95]})], **more),
            candidate(f"p{number}", "pass", "Right"),
            candidate(f"p{number}", "fail", "Wrong, at length"),
        ]
    return write(path, rows)


def tokenizer() -> Any:
    """Bytes as tokens, with a chat template that renders tools and calls."""
    import trl
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE({text: number for number, text in enumerate(special + letters)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )
    made.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen2_5.jinja").read_text()
    return made


def config() -> Any:
    from transformers import Qwen2Config

    return Qwen2Config(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        pad_token_id=0,
        num_labels=1,
    )


def causal() -> Any:
    from transformers import Qwen2ForCausalLM

    return Qwen2ForCausalLM(config())


def arguments(kind: Any, folder: Path, **more: Any) -> Any:
    return kind(
        output_dir=str(folder / "model"),
        max_steps=1,
        per_device_train_batch_size=4,
        report_to=[],
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        eval_strategy="steps",
        eval_steps=1,
        logging_steps=1,
        **more,
    )


def sft(data: Any, folder: Path) -> Any:
    from trl import SFTConfig, SFTTrainer

    return SFTTrainer(causal(), arguments(SFTConfig, folder), **sides(data), processing_class=tokenizer())


def dpo(data: Any, folder: Path) -> Any:
    from trl import DPOConfig, DPOTrainer

    settings = arguments(DPOConfig, folder)
    return DPOTrainer(causal(), causal(), args=settings, **sides(data), processing_class=tokenizer())


def reward(data: Any, folder: Path) -> Any:
    from transformers import Qwen2ForSequenceClassification
    from trl import RewardConfig, RewardTrainer

    model = Qwen2ForSequenceClassification(config())
    return RewardTrainer(model, arguments(RewardConfig, folder), **sides(data), processing_class=tokenizer())


def kto(data: Any, folder: Path) -> Any:
    from trl import KTOConfig, KTOTrainer

    settings = arguments(KTOConfig, folder)
    return KTOTrainer(causal(), causal(), args=settings, **sides(data), processing_class=tokenizer())


def grpo(data: Any, folder: Path) -> Any:
    from trl import GRPOConfig, GRPOTrainer

    def names_the_reference(completions: Any, reference: list[str], pass_rate: list[float], **_: Any) -> list[float]:
        assert len(reference) == len(pass_rate) == len(completions)
        return [float(ref in text[0]["content"]) for text, ref in zip(completions, reference, strict=True)]

    settings = arguments(GRPOConfig, folder, num_generations=2, max_completion_length=8, per_device_eval_batch_size=4)
    return GRPOTrainer(causal(), names_the_reference, args=settings, **sides(data), processing_class=tokenizer())


def check_calls(trainer: Any) -> None:
    """What is trained on holds the tools, the call before, and the answer's call with its arguments as an object."""
    texts = [tokenizer().decode(row["input_ids"]) for row in trainer.train_dataset]
    tooled = [text for text in texts if "<tools>" in text]
    assert tooled
    assert len(tooled) < len(texts)
    for text in tooled:
        assert text.count('<tool_call>\n{"name": "get_weather", "arguments": {"city": "') == 2
        assert '"days": 2}}' in text


def sides(data: Any) -> dict[str, Any]:
    return {"train_dataset": data["train"], "eval_dataset": data["validation"]}


TRAINERS: list[tuple[str, Callable[[Any, Path], Any]]] = [
    ("sft", sft),
    ("preference", dpo),
    ("preference", reward),
    ("unpaired", kto),
    ("prompts", grpo),
]


def main() -> None:
    """Prints a line for each trainer and run; raises where a trainer does."""
    import datasets

    print(", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = {"plain": study(folder / "plain.parquet"), "tools": with_tools(folder / "tools.parquet")}
        for kind, path in runs.items():
            for format_name, trainer_of in TRAINERS:
                out = folder / f"{kind}-{format_name}"
                if not out.exists():
                    export([str(path)], Options(format_name, validation=0.2), out)
                data = datasets.load_dataset(str(out), cache_dir=str(folder / f"cache-{out.name}"))
                trainer = trainer_of(data, folder)
                if (kind, format_name) == ("tools", "sft"):
                    check_calls(trainer)
                trainer.train()
                seen = ", ".join(f"{side} {data[side].num_rows}" for side in data)
                loss = next(entry["loss"] for entry in trainer.state.log_history if "loss" in entry)
                print(
                    f"{kind:<6} {format_name:<11} {type(trainer).__name__:<14} one step on {seen}: loss {loss}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
