"""A tiny hub for tests: the `book` testbed's repositories, made from sentences of a toy language, served on loopback.

`write_content` makes the folder, `Hub` serves it over the part of the hub's protocol that snapshots are fetched with,
and can be told to misbehave.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal

import pandas as pd

TASKS = (
    "STS16",
    "BIOSSES",
    "Banking77Classification",
    "TwitterSemEval2015",
    "TwentyNewsgroupsClustering.v2",
    "NFCorpus",
)
"""The mteb tasks whose data the tiny hub has: one of each kind that the testbed `book` names, but for reranking."""

MORE_TASKS = ("STS17", "AskUbuntuDupQuestions")
"""Two more whose data it has: one of eleven subsets, and one of reranking."""

STS17 = ("ko-ko", "ar-ar", "en-ar", "en-de", "en-en", "en-tr", "es-en", "es-es", "fr-en", "it-en", "nl-en")

ADJECTIVES = ("young", "old", "tall", "quiet", "happy", "busy")
SUBJECTS = ("woman", "man", "child", "farmer", "teacher", "doctor", "sailor", "painter", "dog", "cat")
VERBS = ("holds", "paints", "watches", "sells", "drops", "finds", "likes", "cleans")
OBJECTS = ("apple", "boat", "house", "lamp", "book", "garden", "wheel", "letter", "stone", "coat")
PLACES = ("in the park", "near the river", "at home", "on the roof", "behind the school")

NLI_ROWS, STS_PAIRS = 360, 60
Words = tuple[str, str, str, str, str]


def _words(rng: random.Random) -> Words:
    return tuple(map(rng.choice, (ADJECTIVES, SUBJECTS, VERBS, OBJECTS, PLACES)))  # type: ignore[return-value]


def _say(words: Words, *, negated: bool = False, short: bool = False) -> str:
    adjective, subject, verb, thing, place = words
    verb = f"never {verb}" if negated else verb
    return f"the {subject} {verb} the {thing} ." if short else f"the {adjective} {subject} {verb} the {thing} {place} ."


def nli_rows(seed: int, count: int) -> pd.DataFrame:
    """Three rows a premise, in mixed order: an entailment, a neutral and a contradiction; a few have label -1."""
    rng = random.Random(seed)
    rows: list[tuple[str, str, int]] = []
    while len(rows) < count:
        words = _words(rng)
        premise = _say(words)
        other: Words = (*words[:2], rng.choice(VERBS), rng.choice(OBJECTS), rng.choice(PLACES))
        for hypothesis, label in ((_say(words, short=True), 0), (_say(other), 1), (_say(words, negated=True), 2)):
            rows.append((premise, hypothesis, -1 if rng.random() < 0.02 else label))
    rng.shuffle(rows)
    frame = pd.DataFrame(rows[:count], columns=["premise", "hypothesis", "label"])
    return frame.assign(idx=range(len(frame)))


def sts_pairs(seed: int, count: int, highest: float, column: str) -> pd.DataFrame:
    """Pairs that share between none and all of their five words; the share is the score."""
    rng = random.Random(seed)
    rows = []
    for i in range(count):
        left, right = _words(rng), _words(rng)
        kept = rng.sample(range(5), i % 6)
        mixed: Words = tuple(a if k in kept else b for k, (a, b) in enumerate(zip(left, right, strict=True)))  # type: ignore[assignment]
        shared = sum(a == b for a, b in zip(left, mixed, strict=True))
        adjective, subject, verb, thing, place = (
            mixed  # in other words: cosines of equal sentences differ by noise alone
        )
        rows.append((_say(left), f"{place} the {adjective} {subject} {verb} the {thing} .", highest * shared / 5))
    return pd.DataFrame(rows, columns=["sentence1", "sentence2", column])


def write_content(root: Path) -> None:
    """Make every repository of the tiny hub below `root`, as KIND/OWNER/NAME/FILES."""
    _write_model(root / "models" / "google-bert" / "bert-base-uncased")
    data = root / "datasets"
    mnli = {"train": nli_rows(1, NLI_ROWS), "validation_matched": nli_rows(2, 30)}
    stsb = {name: sts_pairs(seed, STS_PAIRS, 5.0, "label") for seed, name in enumerate(("train", "validation"), 3)}
    _write_data(data / "nyu-mll" / "glue", {"mnli": mnli, "stsb": stsb})
    splits = ("train", "validation", "test")
    _write_data(
        data / "sentence-transformers" / "stsb",
        {"default": {name: sts_pairs(seed, STS_PAIRS, 1.0, "score") for seed, name in enumerate(splits, 5)}},
    )
    _write_tasks(data / "mteb")


def _write_tasks(mteb: Path) -> None:
    rng = random.Random(0)
    _write_data(mteb / "sts16-sts", {"default": {"test": sts_pairs(11, 40, 5.0, "score")}})
    _write_data(mteb / "biosses-sts", {"default": {"test": sts_pairs(12, 40, 4.0, "score")}})
    languages = (sts_pairs(20 + n, 18, 5.0, "score").assign(lang=lang) for n, lang in enumerate(STS17))
    _write_data(mteb / "sts17-crosslingual-sts", {"default": {"test": pd.concat(languages, ignore_index=True)}})
    _write_reranking(mteb / "AskUbuntuDupQuestions")
    intents = [(_say(words), words[1], OBJECTS.index(words[3])) for words in (_words(rng) for _ in range(240))]
    banking = pd.DataFrame(intents, columns=["text", "label_text", "label"]).drop(columns="label_text")
    _write_data(mteb / "banking77", {"default": {"train": banking[:200], "test": banking[200:]}})
    pairs = sts_pairs(13, 40, 1.0, "score")
    twitter = {
        "sent1": [list(pairs.sentence1)],
        "sent2": [list(pairs.sentence2)],
        "labels": [[int(s > 0.5) for s in pairs.score]],
    }
    _write_data(mteb / "twittersemeval2015-pairclassification", {"default": {"test": pd.DataFrame(twitter)}})
    topics = pd.DataFrame({"sentences": [[t for t, *_ in intents]], "labels": [[label for _, _, label in intents]]})
    _write_data(mteb / "twentynewsgroups-clustering", {"default": {"test": topics}})
    texts = [_say(_words(rng)) for _ in range(50)]
    corpus = pd.DataFrame({"_id": [f"d{i}" for i in range(50)], "title": "", "text": texts})
    queries = pd.DataFrame({"_id": [f"q{i}" for i in range(20)], "text": [t.replace("the ", "") for t in texts[:20]]})
    qrels = pd.DataFrame({"query-id": queries["_id"], "corpus-id": corpus["_id"][:20], "score": 1})
    _write_data(
        mteb / "nfcorpus",
        {"default": {"test": qrels}, "corpus": {"corpus": corpus}, "queries": {"queries": queries}},
    )


def _write_reranking(folder: Path) -> None:
    """Twelve queries with two right documents of ten, first in their lists and last by name, as in the real sets."""
    rng, queries, corpus, right, listed = random.Random(1), [], [], [], []
    for number in range(12):
        words = _words(rng)
        names = [f"{kind}-{number}-{n}" for kind, count in (("positive", 2), ("negative", 8)) for n in range(count)]
        queries.append({"_id": f"q{number}", "text": _say(words)})
        corpus += [{"_id": name, "text": _say(words if name[0] == "p" else _words(rng), short=True)} for name in names]
        right += [{"query-id": f"q{number}", "corpus-id": name, "score": int(name[0] == "p")} for name in names]
        listed.append({"query-id": f"q{number}", "corpus-ids": names})
    parts: dict[str, list[dict[str, Any]]] = {
        "default": right,
        "corpus": corpus,
        "queries": queries,
        "top_ranked": listed,
    }
    _write_data(folder, {config: {"test": pd.DataFrame(rows)} for config, rows in parts.items()})


def _write_data(folder: Path, configs: dict[str, dict[str, pd.DataFrame]]) -> None:
    """Write a data set with the `configs:` that real data set cards have."""
    lines = ["---", "configs:"]
    for config, splits in configs.items():
        (folder / config).mkdir(parents=True)
        lines += [f"- config_name: {config}", "  data_files:"]
        for split, frame in splits.items():
            frame.to_parquet(folder / config / f"{split}-00000-of-00001.parquet", index=False)
            lines += [f"  - split: {split}", f"    path: {config}/{split}-*"]
    (folder / "README.md").write_text("\n".join([*lines, "---", ""]), encoding="utf-8")


def _write_model(folder: Path) -> None:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast  # type: ignore[attr-defined]

    folder.mkdir(parents=True)
    words = sorted({"the", "never", ".", *" ".join((*ADJECTIVES, *SUBJECTS, *VERBS, *OBJECTS, *PLACES)).split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    BertTokenizerFast.from_pretrained(str(folder), model_max_length=64).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(
            BertConfig(
                vocab_size=len(vocabulary),
                hidden_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=64,
                max_position_embeddings=64,
                initializer_range=0.2,
            )
        )
    model.save_pretrained(folder)


Fault = Literal["404", "500", "half", "hang"]


class Hub:
    """Serves a folder; `faults` maps a repository's id (or "" for everything) to how asking for it goes wrong.

    "404": no such repository; "500": an error; "half": files stop half way; "hang": no answer until
    `forget` is called.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults: dict[str, Fault] = {}
        self.requests: list[str] = []
        self.released = Event()
        hub = self

        class Handler(_Handler):
            served = hub

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def forget(self) -> None:
        """Forget all faults and requests, and let go of those who wait for an answer."""
        self.faults.clear()
        self.requests.clear()
        self.released.set()
        self.released = Event()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    served: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        self.served.requests.append(f"{self.command} {self.path}")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        api = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/(revision|tree)/([^/]+)(/.*)?", path)
        file = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if api:
            kind, repo, what, revision = api.group(1), api.group(2), api.group(3), api.group(4)
        elif file:
            kind, repo, revision = "datasets" if file.group(1) else "models", file.group(2), file.group(3)
        else:
            kind, repo = "", ""
        fault = self.served.faults.get(repo) or self.served.faults.get("")
        if fault == "hang":
            self.served.released.wait()
        elif fault == "500":
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, b"the hub has a headache")
        elif not repo:
            self._answer(HTTPStatus.OK, b"a tiny hub")
        elif fault == "404" or not (self.served.root / kind / repo).is_dir():
            self._answer(HTTPStatus.NOT_FOUND, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif api:
            listed = list(self._files(self.served.root / kind / repo))
            info = {"id": repo, "sha": revision, "siblings": [{"rfilename": entry["path"]} for entry in listed]}
            self._answer(HTTPStatus.OK, json.dumps(listed if what == "tree" else info).encode())
        else:
            assert file is not None
            self._send_file(self.served.root / kind / repo / file.group(4), revision, half=fault == "half")

    def _files(self, folder: Path) -> Iterator[dict[str, Any]]:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                yield {
                    "type": "file",
                    "path": str(path.relative_to(folder)),
                    "size": len(content),
                    "oid": hashlib.sha1(content).hexdigest(),
                }

    def _send_file(self, path: Path, revision: str, half: bool) -> None:
        if not path.is_file():
            self._answer(HTTPStatus.NOT_FOUND, b"", {"X-Error-Code": "EntryNotFound"})
            return
        content = path.read_bytes()
        headers = {
            "X-Repo-Commit": revision,
            "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        begin = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if begin and self.command == "GET":
            offset = int(begin.group(1))
            headers["Content-Range"] = f"bytes {offset}-{len(content) - 1}/{len(content)}"
            self._answer(HTTPStatus.PARTIAL_CONTENT, content[offset:], headers, half)
        else:
            self._answer(HTTPStatus.OK, content, headers, half)

    def _answer(
        self, status: HTTPStatus, body: bytes, headers: dict[str, str] | None = None, half: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if half else body)
        if half and self.command == "GET":
            self.close_connection = True
