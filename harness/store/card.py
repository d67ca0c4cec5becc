"""The model card of a kept model: how it was trained, and all scores of its run in the hub's metadata."""

from __future__ import annotations

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from harness.store.records import Record
from harness.testbeds.measure_kinds import Classification, PairClasses, Retrieval, Sts, Triplets
from harness.text import counted, escape, shown

TASK_TYPES = (
    (Sts.figures, "semantic-similarity"),
    (Retrieval.figures, "information-retrieval"),
    (Triplets.figures, "triplet"),
    (Classification.figures, "text-classification"),
    (PairClasses.figures, "binary-classification"),
)
"""The hub's types of evaluations, each with the figures of its kind of measure; fewer figures come first."""


def model_card(record: Record) -> ModelCard:
    """Return the model card of a run's model."""
    results = []
    for name, value in sorted(record.scores.items()):
        source, _, figure = name.partition("/")
        test_set, metric = (figure, "main_score") if source == "mteb" else (source, figure)
        results.append(
            EvalResult(
                task_type="mteb" if source == "mteb" else _task_type(record, source),
                dataset_type=shown(test_set),
                dataset_name=shown(test_set),
                metric_type=shown(metric),
                metric_value=round(value, 6),
            )
        )
    data = ModelCardData(
        model_name=shown(f"{record.study} {record.id}"),
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "sentence-similarity"],
        eval_results=results,
    )
    trained_on = f"{counted(record.rows, 'row')} ({counted(record.examples_seen, 'example')}"
    lines = [
        f"# {escape(record.study)}, seed {record.seed}",
        "",
        f"Trained at {escape(record.point)} on {trained_on}, {counted(record.steps, 'step')}).",
        "",
        *(f"- {escape(part)}: {escape(text)}" for part, text in record.provenance.get("revisions", {}).items()),
        "",
        "```python",
        "from sentence_transformers import SentenceTransformer",
        "",
        'model = SentenceTransformer("PATH OF THIS FOLDER")',
        "```",
        "",
        "| score | value |",
        "|---|---|",
        *(f"| {escape(name)} | {value:.4f} |" for name, value in sorted(record.scores.items())),
        "",
    ]
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n".join(lines))


def _task_type(record: Record, measure: str) -> str:
    """Return the type of the kind of measure whose figures a run's scores of one measure are."""
    figures = {name.partition("/")[2] for name in record.scores if name.startswith(f"{measure}/")}
    return next((task for of_kind, task in TASK_TYPES if figures <= {*of_kind}), "other")
