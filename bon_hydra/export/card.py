"""The data card, README.md: what the folder holds, where it came from, and what is not known of it.

Says nothing of this machine: neither paths nor times, so the same runs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml  # type: ignore[import-untyped, unused-ignore]

from bon_hydra import __version__
from bon_hydra.export.contents import Contents
from bon_hydra.export.options import Options
from bon_hydra.export.origin import configuration, dataset_name, licence
from bon_hydra.runs import open_run, read_metadata

JSON_NOTE = (
    "Messages and `tools` are of the type `Json` (`datasets` 4.8 or newer): read, they are objects, and so are the "
    "arguments of calls. `tools` is null where a query came without."
)


class What(NamedTuple):
    """How a format is called, what it is, and what its columns hold."""

    title: str
    content: str
    columns: str


WHAT = {
    "sft": What(
        "Verified answers",
        "verified answers for supervised fine-tuning (TRL: `SFTTrainer`)",
        "`prompt` and `completion` are lists of messages; `candidate_id` names the draw.",
    ),
    "preference": What(
        "Preference pairs",
        "pairs of a verified and a failed answer to the same prompt (TRL: `DPOTrainer`, `RewardTrainer`)",
        "`prompt`, `chosen` and `rejected` are lists of messages; `chosen_id` and `rejected_id` name the draws.",
    ),
    "unpaired": What(
        "Labelled answers",
        "single answers, each verified or failed (TRL: `KTOTrainer`)",
        "`prompt` and `completion` are lists of messages, `label` is true where the answer was verified; "
        "`candidate_id` names the draw.",
    ),
    "prompts": What(
        "Prompts with pass rates",
        "prompts with their references and pass rates, for reinforcement learning (TRL: `GRPOTrainer`)",
        "`prompt` is a list of messages, `reference` the ground truth, `pass_rate` the share of `scored_candidates` "
        "that were verified.",
    ),
    "jsonl": What(
        "All candidates",
        "every candidate of the runs with all of its columns, as JSON Lines",
        "As in a run's parquet file: one row a candidate; `prompt`, `tools` and `tool_calls` are JSON texts.",
    ),
}


def card(paths: Sequence[Path], contents: Contents, options: Options) -> str:
    """The text of README.md, with the front matter that the Hub reads."""
    runs = [(path.name, read_metadata(path)) for path in paths]
    names = sorted({dataset_name(metadata) for _, metadata in runs})
    licences = {name: licence(name, [m for _, m in runs]) for name in names}
    what = WHAT[options.format]
    models = ", ".join(sorted({metadata.get("model") or "a model that is not named" for _, metadata in runs}))
    return "\n".join(
        [
            "---",
            _front_matter(paths, contents, options, licences).rstrip(),
            "---",
            "",
            f"# {what.title} from Best-of-N runs",
            "",
            f"This folder holds {what.content}. It was made by `bon export` of bon_hydra {__version__} from "
            f"{_count(len(runs), 'run')}.",
            "",
            f"{what.columns} `query_id` and `split` name the query.",
            "",
            *([] if contents.plain or options.format == "jsonl" else [JSON_NOTE, ""]),
            *_counts(contents),
            "",
            *_lengths(contents),
            *_choices(options),
            *_left_out(contents),
            "## Where it came from",
            "",
            *_runs(runs),
            "",
            f"Judged by: {', '.join(sorted(contents.verifiers)) or 'not known'}.",
            "",
            "## Licence",
            "",
            *(f"- {name}: {its or 'licence not known; look at its source'}" for name, its in licences.items()),
            "",
            f"That is said of prompts and references alone. The answers were written by {models}: whether they may be "
            "used for training is said by the terms of that model and of who served it, which are not known here.",
            "",
            *_configurations(runs),
        ]
    )


def _front_matter(
    paths: Sequence[Path], contents: Contents, options: Options, licences: Mapping[str, str | None]
) -> str:
    sides = [side for side in ("train", "validation") if contents.rows[side]]
    known = set(licences.values())
    rows = contents.rows.total()
    sizes = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    matter: dict[str, Any] = {
        "pretty_name": f"{WHAT[options.format].title} from Best-of-N runs",
        "license": "unknown" if None in known else known.pop() if len(known) == 1 else "other",
        "task_categories": ["text-generation"],
        "size_categories": [next((name for most, name in sizes if rows < most), "n>1M")],
        "tags": ["bon_hydra", "best-of-n", "synthetic", *([] if options.format == "jsonl" else ["trl"])],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": side, "path": f"data/{side}-*"} for side in sides],
            }
        ],
    }
    if options.format == "jsonl" and (features := _features(paths)):
        matter["dataset_info"] = [{"config_name": "default", "features": features}]
    return str(yaml.safe_dump(matter, sort_keys=False, allow_unicode=True))


def _features(paths: Sequence[Path]) -> list[dict[str, str]]:
    """Columns with their types, which a reader of JSON Lines would have to guess; none where one is not a plain one."""
    types: dict[str, str] = {}
    for path in paths:
        with open_run(path) as file:
            for field in file.schema_arrow:
                types.setdefault(field.name, str(field.type).replace("double", "float64").replace("large_", ""))
    plain = ("string", "bool", "int", "float", "timestamp")
    if not all(name.startswith(plain) for name in types.values()):
        return []
    return [{"name": name, "dtype": dtype} for name, dtype in types.items()]


def _counts(contents: Contents) -> list[str]:
    lines = ["| | rows | queries |", "|---|---|---|"]
    lines += [f"| {side} | {contents.rows[side]:,} | {contents.queries[side]:,} |" for side in ("train", "validation")]
    by_split = ", ".join(f"{split} {rows:,}" for split, rows in sorted(contents.splits.items()))
    return [
        *lines,
        "",
        f"Rows by split of the data set: {by_split}. No question is in both train and validation.",
    ]


def _lengths(contents: Contents) -> list[str]:
    if not contents.lengths:
        return []
    lines = ["| characters | mean | 10 % | median | 90 % |", "|---|---|---|---|---|"]
    for name, values in contents.lengths.items():
        low, median, high = np.percentile(np.asarray(values), (10, 50, 90))
        lines.append(f"| {name} | {np.mean(values):,.0f} | {low:,.0f} | {median:,.0f} | {high:,.0f} |")
    if "chosen" in contents.lengths:
        chosen, rejected = (np.asarray(contents.lengths[name]) for name in ("chosen", "rejected"))
        longer = float(np.mean(chosen > rejected))
        lines += ["", f"The chosen answer is the longer one in {100 * longer:.1f} % of the pairs."]
    return [*lines, ""]


def _choices(options: Options) -> list[str]:
    lines = []
    if options.format in ("sft", "preference", "unpaired"):
        kept = "stands before the answer in `<think>` tags" if options.reasoning == "think" else "is left out"
        lines.append(f"What a model thought before it answered {kept}.")
    if options.format == "preference":
        drawn = f"drawn at random (seed {options.seed or 0})" if options.match == "random" else "matched in length"
        lines.append(f"At most {_count(options.pairs_per_query or 1, 'pair')} a prompt, {drawn}.")
    if options.format == "sft":
        lines.append(f"At most {_count(options.answers_per_query or 4, 'answer')} a prompt, no text twice.")
    if options.format == "prompts" and options.pass_rates != (0.0, 1.0):
        low, high = options.pass_rates
        lines.append(f"Pass rates from {low:g} to {high:g}.")
    return [" ".join(lines), ""] if lines else []


def _left_out(contents: Contents) -> list[str]:
    lines = [f"- {what}: {count:,}" for what, count in sorted(contents.left_out.items()) if count]
    return ["Left out:", "", *lines, ""] if lines else []


def _runs(runs: Sequence[tuple[str, Mapping[str, str]]]) -> list[str]:
    lines = ["| run | experiment | model | data set | revision | N | T | candidates | status |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    for name, m in runs:
        cells = [
            m.get("run_id") or name,
            m.get("experiment"),
            m.get("model"),
            dataset_name(m),
            m.get("dataset_revision"),
        ]
        cells += [m.get("num_candidates"), m.get("temperature"), m.get("total_records"), m.get("status")]
        lines.append("| " + " | ".join((cell or "not known").replace("|", "\\|") for cell in cells) + " |")
    return lines


def _configurations(runs: Sequence[tuple[str, Mapping[str, str]]]) -> list[str]:
    lines = ["## Configurations", "", "What was asked, and how; without what is about the machine that asked.", ""]
    for name, metadata in runs:
        text = yaml.safe_dump(configuration(metadata), sort_keys=False, allow_unicode=True, width=100).rstrip()
        lines += [f"### {metadata.get('run_id') or name}", "", "````yaml", text, "````", ""]
    return lines


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"
