"""Base models of one's own, untrained: the figures are those of sentence-transformers' evaluators on the same folder."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from own_words import answers
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from harness import Testbed, measures, sources, testbeds
from harness.compat import Dense, Normalize, Pooling, StaticEmbedding, evaluation, load_transformer
from harness.evaluation.scoring import Encoder, score_measure
from harness.model.loading import fresh_model, how_loaded

PROMPTS = {"query": "the woman : ", "document": "a boat : "}


def with_prompts(base: Path, folder: Path) -> None:
    """A transformer with CLS pooling, a dense layer, unit length, a short maximum and prompts for both roles."""
    transformer = load_transformer(str(base), max_seq_length=24)
    dense = Dense(transformer.get_embedding_dimension(), 16)
    modules = [transformer, Pooling(transformer.get_embedding_dimension(), pooling_mode="cls"), dense, Normalize()]
    SentenceTransformer(modules=modules, prompts=PROMPTS, device="cpu").save_pretrained(str(folder))


def last_token(base: Path, folder: Path) -> None:
    """A transformer with last-token pooling, whose prompts are left out of the pooling, and dot products."""
    transformer = load_transformer(str(base))
    pooling = Pooling(transformer.get_embedding_dimension(), pooling_mode="lasttoken", include_prompt=False)
    model = SentenceTransformer(modules=[transformer, pooling], prompts=PROMPTS, device="cpu", similarity_fn_name="dot")
    model.save_pretrained(str(folder))


def static(base: Path, folder: Path) -> None:
    """A table of vectors, one for each piece of a word (model2vec)."""
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    with torch.random.fork_rng():
        torch.manual_seed(3)
        SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_dim=24)], device="cpu").save_pretrained(
            str(folder)
        )


@pytest.fixture(params=[with_prompts, last_token, static], ids=lambda make: make.__name__.replace("_", " "))
def bed(request: pytest.FixtureRequest, hub_root: Path, tmp_path: Path) -> Testbed:
    make: Callable[[Path, Path], None] = request.param
    with torch.random.fork_rng():
        torch.manual_seed(1)
        make(hub_root / "models" / "google-bert" / "bert-base-uncased", tmp_path / "model")
    return replace(testbeds.embedded, name="own", model=str(tmp_path / "model"))


def plain(bed: Testbed) -> SentenceTransformer:
    return SentenceTransformer(str(bed.base.folder), device="cpu", model_kwargs={"dtype": "float32"})


def figures(bed: Testbed, measure: object) -> dict[str, float]:
    scored = score_measure(Encoder(fresh_model(bed).eval()), measure)  # type: ignore[arg-type]
    return {name.partition("/")[2]: value for name, value in scored.scores.items()}


def test_retrieval(bed: Testbed, tmp_path: Path) -> None:
    pairs = answers(50, 5)
    (tmp_path / "qrels").mkdir()
    for name, texts in (("queries", [q for q, _ in pairs]), ("corpus", [d for _, d in pairs])):
        lines = [json.dumps({"_id": f"{name[0]}{n}", "text": text}) for n, text in enumerate(texts)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    judged = "".join(f"q{n}\tc{n}\t1\nq{n}\tc{(n + 7) % 50}\t2\n" for n in range(50))
    (tmp_path / "qrels" / "test.tsv").write_text(judged, encoding="utf-8")
    ours = figures(bed, measures.retrieval(str(tmp_path), "own"))
    queries: Any
    documents: Any
    queries, documents = ({f"{k}{n}": pair[i] for n, pair in enumerate(pairs)} for i, k in enumerate("qc"))
    relevant: dict[str, set[str]] = {f"q{n}": {f"c{n}", f"c{(n + 7) % 50}"} for n in range(50)}
    model = plain(bed)
    theirs = evaluation.InformationRetrievalEvaluator(
        queries,
        documents,
        relevant,
        precision_recall_at_k=[1, 3, 5, 10, 100],
        main_score_function=model.similarity_fn_name,
    )(model)
    for name in ("ndcg@10", "mrr@10", "map@100", "recall@10", "accuracy@1"):
        assert ours[name] == pytest.approx(theirs[f"{model.similarity_fn_name}_{name}"], abs=1e-6), name
    assert 0.05 < ours["ndcg@10"] < 0.999


def test_pairs_of_every_kind(bed: Testbed) -> None:
    rng = random.Random(2)
    left, right = zip(*answers(60, 8), strict=True)
    frame = pd.DataFrame(
        {"a": left, "b": right, "score": [5 * rng.random() for _ in left], "same": [n % 2 for n in range(60)]}
    )
    source, model = sources.frame(frame), plain(bed)
    sts = figures(bed, measures.sts(source, "own", columns=("a", "b", "score"), range=(0, 5)))
    gold = (frame["score"] / 5).tolist()
    theirs = evaluation.EmbeddingSimilarityEvaluator([*left], [*right], gold, main_similarity="cosine")(model)
    assert sts["spearman_cosine"] == pytest.approx(theirs["spearman_cosine"], abs=1e-6)
    assert sts["pearson_cosine"] == pytest.approx(theirs["pearson_cosine"], abs=1e-6)
    alike = figures(bed, measures.pairs(source, "own", columns=("a", "b", "same")))
    judged = evaluation.BinaryClassificationEvaluator(
        list(left), list(right), frame["same"].tolist(), similarity_fn_names=["cosine"]
    )(model)
    assert alike["average_precision"] == pytest.approx(judged["cosine_ap"], abs=1e-6)
    assert alike["accuracy"] == pytest.approx(judged["cosine_accuracy"], abs=1e-6)


def test_triplets(bed: Testbed) -> None:
    anchors, positives = zip(*answers(60, 9), strict=True)
    negatives = positives[1:] + positives[:1]
    source = sources.frame(pd.DataFrame({"anchor": anchors, "positive": positives, "negative": negatives}))
    ours = figures(bed, measures.triplets(source, "own"))
    model = plain(bed)
    sides = [model.encode_query(list(anchors)), *(model.encode_document(list(t)) for t in (positives, negatives))]
    query, near, far = (torch.nn.functional.normalize(torch.as_tensor(side), dim=1) for side in sides)
    expected = ((query * near).sum(1) > (query * far).sum(1)).float().mean().item()
    assert ours["accuracy"] == pytest.approx(expected, abs=1e-6)


def test_the_record_says_how_the_model_was_loaded(bed: Testbed) -> None:
    told = how_loaded(bed)
    assert "as its modules.json says" in told
    assert all(type(module).__name__ in told for module in plain(bed))
