"""The data of the MTEB-style tasks: plain columns, drawn from frames that training, dev and test have not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .frames import Frame
from .inference import CONTRADICTION, ENTAILMENT, NEUTRAL, hypothesis, subsumes
from .lexicon import lexicon
from .rows import SEED, fresh_frames, seen_domains, source, sts_pairs
from .surface import say

Columns = Mapping[str, Sequence[object]]
Tables = Mapping[str, Columns]

_STS_PAIRS = 400
_PER_TOPIC = 20
_PARAPHRASE_PAIRS = 400
_QUERIES = 120
_PER_CLUSTER = 30
_CLUSTERS = 10


def _related(frame: Frame, label: int, rng_name: str, number: int, seed: int) -> list[Frame]:
    """Up to `number` hypotheses of a frame with one label, from a generator of their own."""
    rng = source(rng_name, seed)
    drawn = (hypothesis(frame, label, rng) for _ in range(4 * number))
    return [meant for meant in drawn if meant is not None][:number]


def sts_task(taken: set[Frame], seed: int = SEED) -> Tables:
    """Pairs of the held-out domains, whose events no training row has: the losses must generalise to them."""
    pairs = sts_pairs("task sts", _STS_PAIRS, lexicon().held_out, taken, seed)
    return {
        "test": {
            "sentence1": [pair.sentence1 for pair in pairs],
            "sentence2": [pair.sentence2 for pair in pairs],
            "score": [pair.score for pair in pairs],
        }
    }


def topic_task(taken: set[Frame], seed: int = SEED) -> Tables:
    """Sentences and the number of their domain; the everyday domain, where anybody does anything, is no topic."""
    rng = source("task topics", seed)
    topics = [domain for domain in seen_domains() if domain != "everyday"]
    tables: dict[str, dict[str, list[object]]] = {}
    for split in ("train", "test"):
        rows = [
            (say(frame, rng).text, label)
            for label, topic in enumerate(topics)
            for frame, _ in zip(fresh_frames(rng, (topic,), taken), range(_PER_TOPIC), strict=False)
        ]
        rng.shuffle(rows)
        tables[split] = {"text": [text for text, _ in rows], "label": [label for _, label in rows]}
    return tables


def paraphrase_task(taken: set[Frame], seed: int = SEED) -> Tables:
    """Pairs of sentences, label 1 when both say one frame in other words, 0 when one says a little more or else."""
    rng = source("task paraphrases", seed)
    rows: list[tuple[str, str, int]] = []
    frames = fresh_frames(rng, seen_domains(), taken)
    while len(rows) < _PARAPHRASE_PAIRS:
        frame = next(frames)
        same = len(rows) % 2
        other = frame if same else hypothesis(frame, rng.choice((NEUTRAL, CONTRADICTION)), rng)
        if other is None:
            continue
        first = say(frame, rng)
        # A paraphrase keeps fewer of the words than a change of meaning, so that overlap alone does not tell them
        # apart.
        second = say(other, rng, first, keep=rng.uniform(0.0, 0.8) if same else rng.uniform(0.4, 1.0))
        if first.text != second.text:
            rows.append((first.text, second.text, same))
    rng.shuffle(rows)
    return {
        "test": {
            "sentence1": [row[0] for row in rows],
            "sentence2": [row[1] for row in rows],
            "labels": [row[2] for row in rows],
        }
    }


def retrieval_task(taken: set[Frame], seed: int = SEED) -> Tables:
    """Queries, and a corpus in which a document is relevant exactly when it entails the query.

    For each query the corpus has one document that it was made from and three that contradict it or leave it open in
    nearly the same words; documents of other queries that happen to entail it count as relevant too.
    """
    rng = source("task retrieval", seed)
    documents: dict[str, Frame] = {}
    queries: dict[str, Frame] = {}
    frames = fresh_frames(rng, seen_domains(), taken, negated_share=0.0)
    for number in range(_QUERIES):
        frame = next(frames)
        wording = say(frame, rng)
        asked = hypothesis(frame, ENTAILMENT, rng)
        assert asked is not None, "an affirmed frame always entails itself"
        documents[wording.text] = frame
        queries[say(asked, rng, wording, keep=0.4).text] = asked
        for label, count in ((CONTRADICTION, 2), (NEUTRAL, 1)):
            for near in _related(asked, label, f"task retrieval {number} {label}", count, seed):
                documents.setdefault(say(near, rng, wording, keep=0.7).text, near)
    texts = list(documents)
    rng.shuffle(texts)
    relevant = [
        (f"q{q}", f"d{d}")
        for q, asked in enumerate(queries.values())
        for d, text in enumerate(texts)
        if not documents[text].negated and documents[text].tense == asked.tense and subsumes(asked, documents[text])
    ]
    return {
        "corpus": {"id": [f"d{d}" for d in range(len(texts))], "text": texts},
        "queries": {"id": [f"q{q}" for q in range(len(queries))], "text": list(queries)},
        "qrels": {
            "query-id": [q for q, _ in relevant],
            "corpus-id": [d for _, d in relevant],
            "score": [1] * len(relevant),
        },
    }


def clustering_task(taken: set[Frame], seed: int = SEED) -> Tables:
    """Sentences and the class of their event (to treat, to catch, ...), ten classes of ten domains."""
    rng = source("task clusters", seed)
    lex = lexicon()
    rows: list[tuple[str, str]] = []
    for domain in seen_domains()[:_CLUSTERS]:
        kind = lex.events.children[f"domain:{domain}"][0]
        frames = (f for f in fresh_frames(rng, (domain,), taken) if lex.events.is_a(f.event, kind))
        rows.extend((say(frame, rng).text, kind) for frame, _ in zip(frames, range(_PER_CLUSTER), strict=False))
    rng.shuffle(rows)
    return {"test": {"sentences": [text for text, _ in rows], "labels": [kind for _, kind in rows]}}
