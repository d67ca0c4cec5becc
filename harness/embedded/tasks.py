"""The tasks of the embedded testbed as mteb tasks, which read their data from a folder and never from the hub.

mteb asks tasks not to override `load_data`; there is no other way to read a local folder without the hub's cache. The
sizes of the costly parts (logistic regressions, k-means) are cut so that each task takes a second or two on one core.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTaskClassification, AbsTaskClustering, AbsTaskPairClassification, AbsTaskRetrieval
from mteb.abstasks.abstask import AbsTask
from mteb.abstasks.retrieval_dataset_loaders import RetrievalSplitData
from mteb.abstasks.sts import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata


def _metadata(name: str, kind: str, main_score: str, description: str) -> TaskMetadata:
    return TaskMetadata.model_validate(
        {
            "dataset": {"path": f"harness/{name}", "revision": "1"},
            "name": name,
            "description": description,
            "type": kind,
            "category": "t2t",
            "eval_splits": ["test"],
            "eval_langs": ["eng-Latn"],
            "main_score": main_score,
            "annotations_creators": "derived",
            "sample_creation": "created",
            "is_public": True,
        }
    )


def _table(path: Path) -> Dataset:
    """A parquet file as a dataset in memory; `Dataset.from_parquet` would copy it to the hub library's cache first."""
    import pandas as pd

    return Dataset.from_pandas(pd.read_parquet(path), preserve_index=False)


class _Local(AbsTask):
    """Reads each split from `<folder>/<split>.parquet`."""

    splits: tuple[str, ...] = ("test",)

    def __init__(self, folder: Path, seed: int = 42, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.folder = folder

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        if not self.data_loaded:
            tables = {split: _table(self.folder / f"{split}.parquet") for split in self.splits}
            self.dataset = {"default": DatasetDict(tables)}
            self.data_loaded = True


class EmbeddedSTS(_Local, AbsTaskSTS):
    """Graded similarity in domains that no training row has."""

    metadata = _metadata("EmbeddedSTS", "STS", "cosine_spearman", "Graded similarity in held-out domains.")


class EmbeddedTopicClassification(_Local, AbsTaskClassification):
    """The domain of a sentence, from 8 examples of each, 5 times over."""

    splits = ("train", "test")
    n_experiments = 5
    metadata = _metadata(
        "EmbeddedTopicClassification", "Classification", "accuracy", "Which domain a sentence is about."
    )


class EmbeddedParaphrasePairs(_Local, AbsTaskPairClassification):
    """Whether two sentences mean the same."""

    metadata = _metadata(
        "EmbeddedParaphrasePairs", "PairClassification", "max_ap", "Whether two sentences mean the same."
    )


class EmbeddedClustering(_Local, AbsTaskClustering):
    """Clusters by class of event; 3 samples, since k-means costs more than the encoding."""

    max_fraction_of_documents_to_embed = None
    n_clusters = 3
    max_documents_per_cluster = 300
    metadata = _metadata("EmbeddedClustering", "Clustering", "v_measure", "Clusters of sentences by class of event.")


class EmbeddedRetrieval(AbsTaskRetrieval):
    """Documents that entail a query, among others in nearly the same words."""

    metadata = _metadata("EmbeddedRetrieval", "Retrieval", "ndcg_at_10", "Documents that entail a query.")

    def __init__(self, folder: Path, seed: int = 42, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        self.folder = folder

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Reads corpus, queries and relevance judgements from the folder."""
        if self.data_loaded:
            return
        relevant: dict[str, dict[str, int]] = {}
        for row in _table(self.folder / "qrels.parquet"):
            relevant.setdefault(row["query-id"], {})[row["corpus-id"]] = row["score"]
        data = RetrievalSplitData(
            corpus=_table(self.folder / "corpus.parquet"),
            queries=_table(self.folder / "queries.parquet"),
            relevant_docs=relevant,
            top_ranked=None,
        )
        self.dataset = {"default": {"test": data}}
        self.data_loaded = True


_TASKS = (EmbeddedSTS, EmbeddedTopicClassification, EmbeddedParaphrasePairs, EmbeddedRetrieval, EmbeddedClustering)


def make_task(name: str, root: Path) -> AbsTask:
    """A new task object, as each evaluation needs one (clustering objects carry their random state).

    Making one seeds the global generators, as every mteb task does.

    Args:
        name: one of `TASK_NAMES` of this package.
        root: the folder that `build` returned.

    Raises:
        KeyError: for another name.
    """
    return {task.metadata.name: task for task in _TASKS}[name](root / "tasks" / name)
