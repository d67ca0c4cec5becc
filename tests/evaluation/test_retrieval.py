"""Retrieval: the figures of the libraries' own evaluators; ties and pieces that favour nobody."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixed import QUERY, Fixed, Similarity
from hypothesis import given, settings
from hypothesis import strategies as st
from mteb._evaluators.retrieval_metrics import calculate_retrieval_scores

from harness.compat import evaluation
from harness.errors import Diverged
from harness.evaluation import ranking
from harness.evaluation.encoder import Encoder
from harness.evaluation.retrieval import figures, score_retrieval
from harness.reading.beir import RetrievalSet
from harness.testbeds.measure_kinds import RETRIEVAL_FIGURES

few = settings(derandomize=True, deadline=None, max_examples=25, database=None)


def random_set(seed: int, queries: int, documents: int) -> RetrievalSet:
    """Make a set in which each query has one to five relevant documents of grades 1 to 3."""
    rng = np.random.default_rng(seed)
    ids = [f"d{number}" for number in rng.permutation(documents)]
    relevant = {
        f"q{q}": {ids[d]: float(rng.integers(1, 4)) for d in rng.permutation(documents)[: rng.integers(1, 6)]}
        for q in range(queries)
    }
    texts = tuple(f"document {id}" for id in ids)
    return RetrievalSet(tuple(relevant), tuple(f"what is {id}?" for id in relevant), tuple(ids), texts, relevant)


def embedded(found: RetrievalSet, seed: int, dimension: int = 16, similarity: Similarity = "cosine") -> Fixed:
    rng = np.random.default_rng(seed)
    return Fixed({text: rng.normal(size=dimension) for text in (*found.queries, *found.documents)}, similarity)


def integers(found: RetrievalSet, seed: int) -> Fixed:
    """Return a model whose dot products are exact, of which many are equal."""
    rng = np.random.default_rng(seed)
    return Fixed({text: rng.integers(-1, 2, size=3) for text in (*found.queries, *found.documents)}, "dot")


def by_sentence_transformers(model: Fixed, found: RetrievalSet) -> dict[str, float]:
    judge = evaluation.InformationRetrievalEvaluator(
        dict(zip(found.query_ids, found.queries, strict=True)),
        dict(zip(found.document_ids, found.documents, strict=True)),
        {query: set(grades) for query, grades in found.relevant.items()},
        precision_recall_at_k=[1, 3, 5, 10, 100],
    )
    return {name.partition("_")[2]: float(value) for name, value in judge(model).items()}


def means(values: dict[str, Any]) -> dict[str, float]:
    return {figure: float(each.mean()) for figure, each in values.items()}


@few
@given(seed=st.integers(0, 2**32), queries=st.integers(1, 6), documents=st.integers(1, 250), data=st.data())
def test_figures_are_those_of_sentence_transformers(
    seed: int, queries: int, documents: int, data: st.DataObject
) -> None:
    found = random_set(seed, queries, documents)
    model = embedded(found, seed, similarity=data.draw(st.sampled_from(["cosine", "dot", "euclidean", "manhattan"])))
    values = score_retrieval(Encoder(model), found, piece=data.draw(st.integers(1, 300)))
    judged = by_sentence_transformers(model, found)
    assert tuple(values) == RETRIEVAL_FIGURES
    for figure, mean in means(values).items():
        if figure != "ndcg-graded@10":
            assert mean == pytest.approx(judged[figure], abs=1e-6), figure


@few
@given(seed=st.integers(0, 2**32), queries=st.integers(1, 6), documents=st.integers(2, 250))
def test_graded_figures_are_those_of_mteb(seed: int, queries: int, documents: int) -> None:
    found = random_set(seed, queries, documents)
    model = embedded(found, seed)
    values = score_retrieval(Encoder(model), found)
    similarities = model.similarity(model.encode(found.queries), model.encode(found.documents)).tolist()
    results = {
        q: dict(zip(found.document_ids, row, strict=True)) for q, row in zip(found.query_ids, similarities, strict=True)
    }
    qrels = {query: {document: int(grade) for document, grade in of.items()} for query, of in found.relevant.items()}
    judged = calculate_retrieval_scores(results, qrels, [1, 3, 5, 10, 100])
    for row, query in enumerate(found.query_ids):
        assert values["ndcg-graded@10"][row] == pytest.approx(judged.all_scores[query]["ndcg_cut_10"], abs=1e-6)
        assert values["map@100"][row] == pytest.approx(judged.all_scores[query]["map_cut_100"], abs=1e-6)
        assert values["recall@100"][row] == pytest.approx(judged.all_scores[query]["recall_100"], abs=1e-6)


def test_graded_gains_are_the_grades() -> None:
    grades = np.zeros((1, 100))
    grades[0, :3] = 1, 0, 3
    values = figures(grades, [[3.0, 1.0, 2.0]])
    discounts = 1 / np.log2([2, 3, 4])
    assert values["ndcg-graded@10"][0] == pytest.approx((1 * discounts[0] + 3 * discounts[2]) / ([3, 2, 1] @ discounts))
    assert values["ndcg@10"][0] == pytest.approx((discounts[0] + discounts[2]) / discounts.sum())


def test_more_relevant_documents_than_ranks() -> None:
    values = figures(np.ones((1, 100)), [[1.0] * 150])
    assert values["map@100"] == values["ndcg@10"] == values["ndcg-graded@10"] == [1.0]
    assert values["recall@100"] == pytest.approx(100 / 150)


@pytest.mark.parametrize("noise", [0.0, 5e-8])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_a_model_that_tells_nothing_apart_is_at_chance(noise: float, similarity: Similarity) -> None:
    """The relevant document is the first in order and by id, and rounding is in its favour."""
    queries, documents = 4000, 40
    embeddings = np.ones((documents, 4), np.float32)
    embeddings[0] += np.float32(noise) * 2 * np.array([1, 1, 1, 1], np.float32)
    places = ranking.rank(
        Fixed({"": np.ones(4)}, similarity),
        np.ones((queries, 4), np.float32),
        [embeddings[:7], embeddings[7:]],
        query_ids=[str(number) for number in range(queries)],
        document_ids=[f"{number:03}" for number in range(documents)],
        k=documents,
    )
    assert (np.sort(places) == np.arange(documents)).all()
    for document in (0, 1, 7, 39):
        ranks = (places == document).argmax(axis=1)
        assert abs(ranks.mean() - (documents - 1) / 2) < 4 * documents / 12**0.5 / queries**0.5
        assert abs((ranks == 0).mean() - 1 / documents) < 4 * (1 / documents / queries) ** 0.5


@pytest.mark.parametrize(
    ("query", "documents"),
    [
        ([5, 1, 1, 1], [[1 + 2.4e-7, 1, 1, 1], [1, 1, 1, 1]]),
        ([1, 0, 0, 0], [[1e-8, 1, 0, 0], [-1e-8, 1, 0, 0]]),
    ],
    ids=["last bits", "signs of zero"],
)
def test_cosines_that_differ_by_rounding_are_equal(query: list[float], documents: list[list[float]]) -> None:
    model, queries = Fixed({"": np.ones(4)}), np.repeat(np.array([query], np.float32), 2000, axis=0)
    embeddings = np.array(documents, np.float32)
    one, other = model.similarity(queries[:1], embeddings)[0].tolist()
    assert 0 < one - other < 2e-7
    ids = [str(number) for number in range(2000)]
    places = ranking.rank(model, queries, [embeddings], query_ids=ids, document_ids=["a", "b"], k=1)
    assert 0.45 < places.mean() < 0.55


def test_of_two_equal_documents_each_is_first_equally_often() -> None:
    places = ranking.rank(
        Fixed({"": np.ones(2)}),
        np.ones((2000, 2), np.float32),
        [np.array([[1, 0]], np.float32), np.array([[1, 0]], np.float32)],
        query_ids=[str(number) for number in range(2000)],
        document_ids=["a", "b"],
        k=1,
    )
    assert 0.45 < places.mean() < 0.55


@few
@given(seed=st.integers(0, 2**32), pieces=st.lists(st.integers(1, 300), min_size=2, max_size=4))
def test_pieces_of_any_size_give_the_same_bits(seed: int, pieces: list[int]) -> None:
    """With equal similarities at every rank; where these are exact, the ranking depends on nothing else."""
    found = random_set(seed, 5, 200)
    model = integers(found, seed)
    one, *others = (score_retrieval(Encoder(model), found, piece=piece) for piece in [200, *pieces])
    for other in others:
        assert all((one[figure] == other[figure]).all() for figure in RETRIEVAL_FIGURES)


@few
@given(seed=st.integers(0, 2**32))
def test_the_order_of_documents_does_not_count(seed: int) -> None:
    found = random_set(seed, 5, 150)
    order = np.random.default_rng(seed + 1).permutation(150)
    shuffled = replace(
        found,
        document_ids=tuple(found.document_ids[place] for place in order),
        documents=tuple(found.documents[place] for place in order),
    )
    model = integers(found, seed)
    one, other = (score_retrieval(Encoder(model), each, piece=64) for each in (found, shuffled))
    assert all((one[figure] == other[figure]).all() for figure in RETRIEVAL_FIGURES)


@few
@given(seed=st.integers(0, 2**32))
def test_names_do_not_count_where_nothing_is_equal(seed: int) -> None:
    found = random_set(seed, 5, 150)
    named = {id: f"{number:05}" for number, id in enumerate(reversed(found.document_ids))}
    relevant = {query: {named[id]: grade for id, grade in of.items()} for query, of in found.relevant.items()}
    renamed = replace(found, document_ids=tuple(named[id] for id in found.document_ids), relevant=relevant)
    model = embedded(found, seed)
    one, other = (score_retrieval(Encoder(model), each) for each in (found, renamed))
    assert all((one[figure] == other[figure]).all() for figure in RETRIEVAL_FIGURES)


def test_more_queries_than_are_ranked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = random_set(3, 23, 120)
    model = integers(found, 3)
    one = score_retrieval(Encoder(model), found)
    monkeypatch.setattr(ranking, "QUERIES_AT_ONCE", 5)
    other = score_retrieval(Encoder(model), found, piece=50)
    assert all((one[figure] == other[figure]).all() for figure in RETRIEVAL_FIGURES)


def test_one_query_and_one_document() -> None:
    found = RetrievalSet(("q",), ("what?",), ("d",), ("this",), {"q": {"d": 2.0}})
    values = score_retrieval(Encoder(embedded(found, 0)), found)
    assert means(values) == pytest.approx({figure: 0.1 if figure == "precision@10" else 1.0 for figure in values})


def test_a_querys_own_document_is_left_out() -> None:
    """As if the corpus of each query lacked it: also where it is most similar, and where few documents remain."""
    rng = np.random.default_rng(0)
    texts = {str(number): f"claim {number}" for number in range(6)}
    found = RetrievalSet(
        ("0", "4"),
        (texts["0"], texts["4"]),
        tuple(texts),
        tuple(texts.values()),
        {"0": {"1": 1.0}, "4": {"2": 1.0}},
        True,
    )
    model = Fixed({text: rng.normal(size=4) for text in texts.values()})
    values = score_retrieval(Encoder(model), found, piece=2)
    for row, query in enumerate(found.query_ids):
        rest = [id for id in texts if id != query]
        alone = RetrievalSet(
            (query,), (texts[query],), tuple(rest), tuple(texts[id] for id in rest), {query: found.relevant[query]}
        )
        assert means(score_retrieval(Encoder(model), alone)) == pytest.approx({f: v[row] for f, v in values.items()})
    with_own = score_retrieval(Encoder(model), replace(found, exclude=False))
    assert (with_own["accuracy@1"] == 0).all()


def test_queries_are_embedded_as_queries() -> None:
    found = RetrievalSet(("q",), ("word",), ("a", "b"), ("word", "other"), {"q": {"b": 1.0}})
    model = Fixed({"word": np.array([1, 0]), "other": np.array([0, 1]), QUERY + "word": np.array([0, 1])})
    assert score_retrieval(Encoder(model), found)["accuracy@1"] == [1.0]


def test_documents_are_embedded_once_and_not_kept() -> None:
    found = random_set(1, 2, 30)
    model = embedded(found, 1)
    encoder = Encoder(model)
    score_retrieval(encoder, found, piece=7)
    assert sorted(model.asked) == sorted((*found.queries, *found.documents))
    model.asked.clear()
    encoder(found.queries, role="query")
    assert model.asked == []
    encoder(found.documents, role="document")
    assert sorted(model.asked) == sorted(found.documents)


def test_pieces_have_every_text_in_its_place_also_repeated_ones() -> None:
    model = Fixed({text: np.array([number, 1]) for number, text in enumerate("abcd")})
    texts = tuple("abacddab")
    pieces = list(Encoder(model).pieces(texts, "document", 3))
    assert [len(piece) for piece in pieces] == [3, 3, 2]
    assert [int(row[0]) for piece in pieces for row in piece] == ["abcd".index(text) for text in texts]
    assert list(Encoder(model).pieces((), "document", 3)) == []


@pytest.mark.parametrize("plural", ["queries", "documents"])
@pytest.mark.parametrize("how", ["collapsed", "rounded", "not finite"])
def test_a_collapsed_model_has_no_score(plural: str, how: str) -> None:
    found = random_set(2, 3, 600)
    model = embedded(found, 2)
    rng = np.random.default_rng(0)
    texts = found.queries if plural == "queries" else found.documents
    for text in texts:
        model.given[text] = np.ones(16, np.float32) * (1 + rng.random() if how != "not finite" else 1)
        if how == "rounded":
            model.given[text] += rng.normal(size=16).astype(np.float32) * 1e-7
    model.given[texts[-1]][3] *= np.nan if how == "not finite" else 1
    with pytest.raises(Diverged, match=plural):
        score_retrieval(Encoder(model), found, piece=256)


@pytest.mark.parametrize("piece", [256, 600])
def test_one_document_that_differs_is_no_collapse_however_late_it_comes(piece: int) -> None:
    found = random_set(2, 3, 600)
    model = embedded(found, 2)
    for text in found.documents[:-1]:
        model.given[text] = np.ones(16, np.float32)
    score_retrieval(Encoder(model), found, piece=piece)


def test_similarities_that_overflow_are_refused() -> None:
    found = random_set(2, 3, 20)
    model = embedded(found, 2, similarity="dot")
    model.given = {text: embedding * np.float32(1e30) for text, embedding in model.given.items()}
    with pytest.raises(Diverged, match="similarities"):
        score_retrieval(Encoder(model), found)
