"""The folder of the embedded testbed: its layout, its making, its base model and its mteb tasks."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from checker import constraints, entails

from harness.embedded import (
    MODEL_HASH,
    TASK_NAMES,
    base_model,
    build,
    cache_folder,
    fingerprint,
    make_task,
    pretrain,
    rows,
    taskdata,
)
from harness.embedded.basemodel import MODEL_FILES, content
from harness.embedded.frames import Frame
from harness.embedded.similarity import similarity
from harness.embedded.surface import Wording, say
from harness.errors import TestbedUnavailable
from harness.reading import hashes, materials
from harness.testbeds import embedded

from .conftest import QUICK

making = importlib.import_module("harness.embedded.build")  # the package gives that name to the function


def test_importing_the_package_is_cheap() -> None:
    heavy = "{'torch', 'mteb', 'transformers', 'pandas'}"
    code = f"import sys, harness.embedded as e; e.fingerprint(); print(sorted({heavy} & {{*sys.modules}}))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_fetching_the_testbed_waits_for_no_heavy_import() -> None:
    """The first thing a newcomer's command does; what would be fetched is left out here."""
    code = (
        "import sys, cloudpickle\nfrom harness.engine import worker\nfrom harness.testbeds import embedded, fetching\n"
        "fetching._fetch_one = lambda *what, **how: None\n"
        "print(worker.fetch(cloudpickle.dumps((embedded, ()))), sorted({'mteb', 'torch', 'sentence_transformers'} & {*sys.modules}))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "{} []"
    assert "task: EmbeddedSTS" in answer.stderr


def test_the_audit_waits_for_no_heavy_import(small_root: Path) -> None:
    code = (
        "import dataclasses, pathlib, sys\nfrom harness import embedded, testbeds\nfrom harness.audit import examine\nfrom harness.spec import loading\n"
        f"embedded.build = lambda **how: pathlib.Path({str(small_root)!r})\n"
        "ablation = loading.load_study_file(pathlib.Path('studies/all_losses.py'))\n"
        "found = examine.examine(dataclasses.replace(ablation, testbed=testbeds.embedded), 'key', ())\n"
        "print([one.name for one in found.overlaps if 'mteb' in one.name], {'mteb', 'torch'} & {*sys.modules})"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "['mteb/EmbeddedSTS', 'mteb/EmbeddedSTS'] set()"


def test_layout(small_root: Path) -> None:
    nli = pd.read_parquet(small_root / "nli" / "train.parquet")
    assert list(nli.columns) == ["premise", "hypothesis", "label"]
    assert len(nli) == 600
    assert set(nli["label"]) == {0, 1, 2}
    for split in ("dev", "test"):
        pairs = pd.read_parquet(small_root / "sts" / f"{split}.parquet")
        assert list(pairs.columns) == ["sentence1", "sentence2", "score"]
        assert pairs["score"].between(0, 5).all()
    assert sorted(path.name for path in (small_root / "tasks").iterdir()) == sorted(TASK_NAMES)


def test_a_finished_folder_is_not_made_again(small_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("built twice")

    monkeypatch.setattr(making, "write_data", fail)
    assert build(small_root) == small_root


def test_nothing_that_looks_finished_is_left_after_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(root: Path) -> None:
        (root / "nli").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(making, "write_data", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "embedded")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []

    (tmp_path / ".embedded.tmp-killed" / "nli").mkdir(parents=True)  # what a killed process leaves
    stages: list[tuple[str, float]] = []
    monkeypatch.setattr(making, "write_data", lambda root: (root / "nli").mkdir())
    root = build(tmp_path / "embedded", progress=lambda stage, share: stages.append((stage, share)))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["embedded"]
    assert stages == [("sentences", 0.0), ("sentences", 1.0)]
    assert root == tmp_path / "embedded"


_RACE = """
import importlib, os, sys, time
from pathlib import Path
from harness.embedded import build
def slow(root):
    print("building", flush=True)
    while len(list(Path(sys.argv[2]).iterdir())) < 2:
        time.sleep(0.01)
    (root / "nli").mkdir()
importlib.import_module("harness.embedded.build").write_data = slow
Path(sys.argv[2], str(os.getpid())).touch()
print(build(Path(sys.argv[1])))
"""


def test_two_processes_build_once(tmp_path: Path) -> None:
    """The one that builds does not end before the other has begun."""
    (tmp_path / "begun").mkdir()
    command = [sys.executable, "-c", _RACE, str(tmp_path / "embedded"), str(tmp_path / "begun")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=1800)[0].splitlines() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(len(lines) for lines in said) == [1, 2]
    assert {lines[-1] for lines in said} == {str(tmp_path / "embedded")}


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("HARNESS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "harness"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "harness"
    assert len(fingerprint()) == 16


def test_the_model_is_the_same_each_time_and_leaves_no_trace(tmp_path: Path, drawn_lines: list[str]) -> None:
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    threads = torch.get_num_threads()
    states = random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist(), torch.get_rng_state()
    digests = []
    for name in ("one", "two"):
        pretrain.build_model(drawn_lines, tmp_path / name, QUICK)
        files = [(tmp_path / name / file).read_bytes() for file in MODEL_FILES]
        digests.append([hashlib.sha256(content).hexdigest() for content in files])
        assert random.getstate() == states[0]
        assert np.random.get_state(legacy=False)["state"]["key"].tolist() == states[1]
        assert torch.equal(torch.get_rng_state(), states[2])
        assert torch.get_num_threads() == threads
        torch.rand(3)
        torch.set_rng_state(states[2])
    assert digests[0] == digests[1]


@pytest.fixture(scope="module")
def drawn_lines() -> list[str]:
    return rows.unlabelled_sentences(1500, set())


_VOCABULARY = """
import hashlib, sys
from pathlib import Path
from harness.embedded import pretrain, rows
pretrain.train_tokenizer(rows.unlabelled_sentences(1000, set()), Path(sys.argv[1]), pretrain.Recipe(vocabulary=900))
"""


def test_the_vocabulary_is_the_same_in_every_process(tmp_path: Path) -> None:
    """The library's learner orders by a hash table that differs between processes, unless it is prevented from it."""
    vocabularies = []
    for number in range(3):
        subprocess.run(
            [sys.executable, "-c", _VOCABULARY, str(tmp_path / str(number))], check=True, capture_output=True
        )
        vocabularies.append(json.loads((tmp_path / str(number) / "tokenizer.json").read_text())["model"]["vocab"])
    assert len(vocabularies[0]) == 900
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]


def test_the_start_puts_words_of_one_topic_together(tmp_path: Path, drawn_lines: list[str]) -> None:
    recipe = replace(QUICK, vocabulary=2600)
    tokenizer = pretrain.train_tokenizer(drawn_lines, tmp_path, recipe)
    torch.manual_seed(0)
    vectors = pretrain._counted_embeddings(tokenizer(drawn_lines)["input_ids"], len(tokenizer), 32, 0.02)
    assert vectors.std() == pytest.approx(0.02, rel=1e-4)

    def cosine(one: str, two: str) -> float:
        first, second = (vectors[tokenizer.convert_tokens_to_ids(word)] for word in (one, two))
        return torch.nn.functional.cosine_similarity(first, second, dim=0).item()

    assert cosine("doctor", "nurse") > cosine("doctor", "ferry")
    assert cosine("moored", "ferry") > cosine("moored", "nurse")


def test_the_command_makes_a_model_that_loads_and_tells_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe that made the model that ships, in a short form."""
    from sentence_transformers import SentenceTransformer

    for name, size in (("NLI_PREMISES", 5), ("DEV_PAIRS", 12), ("TEST_PAIRS", 12), ("UNLABELLED", 1500)):
        monkeypatch.setattr(rows, name, size)
    monkeypatch.setattr(pretrain, "Recipe", lambda: QUICK)
    pretrain.main([str(tmp_path / "model")])
    assert capsys.readouterr().out.endswith(f"model: {content(tmp_path / 'model')}\n")
    assert SentenceTransformer(str(tmp_path / "model"), device="cpu").encode(["A dog slept."]).shape == (1, 32)
    with pytest.raises(TestbedUnavailable, match="pip install"):
        base_model(tmp_path / "model")


def test_the_model_that_ships_is_the_documented_one_and_another_is_refused(tmp_path: Path) -> None:
    assert content(base_model()) == MODEL_HASH
    assert MODEL_HASH in (Path(__file__).parents[2] / "docs" / "embedded.md").read_text(encoding="utf-8")
    assert MODEL_HASH in (base_model() / "README.md").read_text(encoding="utf-8")
    folder = Path(shutil.copytree(base_model(), tmp_path / "model"))
    assert base_model(folder) == folder
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    (other / "model.safetensors").write_bytes(weights)
    with pytest.raises(TestbedUnavailable, match=rf"hash {content(other)}, not {MODEL_HASH}.*git checkout"):
        base_model(other)
    (other / "config.json").unlink()
    with pytest.raises(TestbedUnavailable, match=r"nothing \(No such file.*config.json"):
        base_model(other)


def test_a_runs_id_holds_the_content_of_the_model_that_ships() -> None:
    found = hashes.contents_of(embedded)
    assert found[repr(embedded.model)] == hashes.of_model(base_model())
    assert set(found) == set(embedded.declared().values())
    assert MODEL_HASH in embedded.declared()["model"]
    assert fingerprint() in embedded.declared()["rows"]


def test_the_model_loads_mean_pooled() -> None:
    from sentence_transformers import SentenceTransformer
    from transformers import BertModel

    model = SentenceTransformer(str(base_model()), device="cpu")
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert [type(module).__name__ for module in model] == ["Transformer", "Pooling"]
    assert model.max_seq_length == 64
    bert = model[0].auto_model
    assert isinstance(bert, BertModel)
    assert bert.config.hidden_dropout_prob == 0.1
    again = SentenceTransformer(str(base_model()), device="cpu")
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), again.parameters(), strict=True))
    short, long = model.encode(["A dog slept.", "In the kitchen, a dog that was tired slept calmly at dawn."])
    tokens = model[0](model.preprocess(["A dog slept."]))["token_embeddings"][0]
    assert np.allclose(short, tokens.mean(dim=0).detach().numpy(), atol=1e-5)
    assert not np.allclose(short, long, atol=1e-2)


def test_pretraining_teaches_what_word_fits_a_gap(tmp_path: Path, drawn_lines: list[str]) -> None:
    """On sentences that it has not read: better than frequencies, which need no context."""
    recipe = pretrain.Recipe(vocabulary=1200, width=48, layers=1, heads=2, batch=32, epochs=10, learning_rate=5e-3)
    tokenizer = pretrain.train_tokenizer(drawn_lines, tmp_path, recipe)
    unread = [line for line in rows.unlabelled_sentences(300, set(), seed=9) if line not in drawn_lines]
    encoded = tokenizer(unread)["input_ids"]
    torch.manual_seed(0)
    hidden, attention, chosen, wanted = pretrain._mask(encoded, 5, tokenizer.mask_token_id, len(tokenizer), 0.25)
    assert 0.2 < chosen.sum() / attention.sum() < 0.25  # [CLS], [SEP] and padding are never hidden
    assert (hidden[~chosen] == torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, encoded)), True)[~chosen]).all()
    losses = []
    for rate in (0.0, recipe.learning_rate):
        model = pretrain.train_model(drawn_lines, tokenizer, replace(recipe, learning_rate=rate))
        with torch.no_grad():
            logits = model(input_ids=hidden, attention_mask=attention).logits[chosen]
        losses.append(torch.nn.functional.cross_entropy(logits, wanted).item())
    counts = torch.ones(len(tokenizer))
    for row in tokenizer(drawn_lines)["input_ids"]:
        counts[row[1:-1]] += 1
    frequencies = torch.nn.functional.nll_loss((counts / counts.sum()).log().expand(len(wanted), -1), wanted).item()
    print(f"loss at a gap: {losses[0]:.2f} before, {losses[1]:.2f} after, {frequencies:.2f} from frequencies")
    assert losses[0] == pytest.approx(math.log(1200), abs=0.3)
    assert losses[1] < frequencies - 0.5


@pytest.mark.parametrize("name", TASK_NAMES)
def test_tasks_evaluate_and_repeat(name: str, small_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mteb
    from sentence_transformers import SentenceTransformer

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = SentenceTransformer(str(base_model()), device="cpu")
    scores = []
    for _ in range(2):
        task = make_task(name, small_root)
        assert isinstance(task, mteb.AbsTask)
        assert task.metadata.name == name
        result = mteb.evaluate(model, task, cache=None, show_progress_bar=False).task_results[0]
        scores.append(result.get_score())
    assert math.isfinite(scores[0])
    assert 0.0 < scores[0] < 1.0
    assert scores[0] == scores[1]


@pytest.mark.parametrize("name", TASK_NAMES)
def test_pairs_of_a_task_are_those_that_mteb_reads(
    name: str, small_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.embedded.build", lambda: small_root)
    pairs, task = materials.embedded_pairs(name), make_task(name, small_root)
    if task.metadata.type != "STS":
        assert pairs is None
        return
    task.load_data()
    assert task.dataset is not None
    split = task.dataset["default"]["test"]
    assert pairs == materials.StsPairs(*(tuple(split[column][:]) for column in ("sentence1", "sentence2", "score")))


def test_no_such_task(small_root: Path) -> None:
    with pytest.raises(KeyError):
        make_task("STS12", small_root)


def test_tasks_hold_frames_of_their_own() -> None:
    taken: set[Frame] = set()
    sizes = []
    makers: tuple[Callable[[set[Frame]], taskdata.Tables], ...] = (
        taskdata.sts_task,
        taskdata.topic_task,
        taskdata.paraphrase_task,
        taskdata.retrieval_task,
        taskdata.clustering_task,
    )
    for make in makers:
        make(taken)
        sizes.append(len(taken))
    assert sizes == sorted(set(sizes)), "each task adds frames that the ones before it did not have"


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, Frame]:
    """The frame behind each sentence of the tasks' data that the test makes."""
    frames: dict[str, Frame] = {}

    def recorded(frame: Frame, rng: random.Random, like: Wording | None = None, keep: float = 0.0) -> Wording:
        wording = say(frame, rng, like, keep)
        frames.setdefault(wording.text, frame)
        return wording

    monkeypatch.setattr(taskdata, "say", recorded)
    return frames


def test_relevant_documents_entail_their_query(said: dict[str, Frame]) -> None:
    """Every judgement of the retrieval task against the independent checker, from the frames behind the sentences."""
    tables = taskdata.retrieval_task(set())
    corpus = {i: said[str(t)] for i, t in zip(tables["corpus"]["id"], tables["corpus"]["text"], strict=True)}
    queries = {i: said[str(t)] for i, t in zip(tables["queries"]["id"], tables["queries"]["text"], strict=True)}
    judged = set(zip(tables["qrels"]["query-id"], tables["qrels"]["corpus-id"], strict=True))
    expected = {
        (q, d)
        for q, asked in queries.items()
        for d, known in corpus.items()
        if not known.negated and known.tense == asked.tense and entails(constraints(known), constraints(asked))
    }
    assert judged == expected
    assert {q for q, _ in judged} == set(queries)
    assert len(judged) < 3 * len(queries)


def test_paraphrases_mean_the_same_and_the_others_do_not(said: dict[str, Frame]) -> None:
    test = taskdata.paraphrase_task(set())["test"]
    for first, second, label in zip(test["sentence1"], test["sentence2"], test["labels"], strict=True):
        assert (similarity(said[str(first)], said[str(second)]) == 1.0) == bool(label)
    assert sum(bool(label) for label in test["labels"]) == len(test["labels"]) // 2
