"""What mteb says of a text reaches the model: its prompt, its role, its subset. And models that tell nothing apart."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
import torch
from commandline import harness
from hub import STS17
from models import make_model
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from harness import testbeds
from harness.api import load
from harness.compat import Dense, Pooling, Router, Transformer, evaluation
from harness.errors import RunFailed
from harness.evaluation import scoring
from harness.evaluation.encoder import EvaluatedModel
from harness.evaluation.mteb_tasks import task
from harness.model.fast import FastSentenceTransformer
from harness.model.loading import load_model
from harness.reading import materials
from harness.spec import losses
from harness.stats import intervals

PROMPTS = {
    "query": "the old sailor : ",
    "document": "behind the school : ",
    "STS16": "happy ",
    "Classification": "never ",
    "AskUbuntuDupQuestions-query": "quiet quiet quiet ",
}
TASKS = ("STS16", "BIOSSES", "Banking77Classification", "NFCorpus", "AskUbuntuDupQuestions")


def scored(model: SentenceTransformer, names: Sequence[str], folder: Path) -> tuple[dict[str, float], dict[str, str]]:
    return scoring.score_tasks(scoring.Encoder(model), names, name="a/b", run_id="c", folder=folder)


def by_mteb(model: SentenceTransformer, names: Sequence[str]) -> dict[str, float]:
    """Evaluate by mteb alone."""
    tasks = [task(name) for name in names]
    result = mteb.evaluate(model, tasks, cache=None, co2_tracker=False, show_progress_bar=False)
    return {found.task_name: found.get_score() for found in result.task_results}


def agree(found: dict[str, float], plain: dict[str, float]) -> None:
    """Embeddings in other batches differ by 1e-7, which tips a prediction of a classifier that has not converged."""
    for name, value in plain.items():
        assert found[name] == pytest.approx(value, abs=0.0051 if "Banking" in name else 1e-6), name


@pytest.mark.parametrize("cls", [SentenceTransformer, FastSentenceTransformer])
@pytest.mark.parametrize("default", [None, "document"])
def test_a_model_gets_the_prompts_that_mteb_has_for_it(
    cls: type[SentenceTransformer], default: str | None, hub_root: Path, cache: Path, tmp_path: Path
) -> None:
    bare = make_model(hub_root, SentenceTransformer, dtype="float32").eval()
    plain = copy.deepcopy(bare)
    model = make_model(hub_root, cls, dtype="float32").eval()
    for each in (plain, model):
        each.prompts, each.default_prompt_name = dict(PROMPTS), default
    found, missing = scored(model, TASKS, tmp_path)

    assert missing == {}
    agree(found, by_mteb(plain, TASKS))
    without = by_mteb(bare, TASKS)
    differing = {name for name in TASKS if abs(found[name] - without[name]) > 1e-4}
    assert differing >= {"STS16", "NFCorpus", "AskUbuntuDupQuestions"}, "a prompt changes what is measured"

    pairs = materials.load_sts(testbeds.book.test)
    _, scores = scoring.score_sts(scoring.Encoder(model), pairs)
    judge = evaluation.EmbeddingSimilarityEvaluator(list(pairs.sentence1), list(pairs.sentence2), list(pairs.gold))
    assert scores["spearman_cosine"] == pytest.approx(judge(plain)["spearman_cosine"], abs=1e-5)
    unshared = scoring.score_unshared(scoring.Encoder(model), ["STS16"], frozenset([("no such", "pair")]))
    assert unshared == {}, "nothing is shared"


def test_what_is_unshared_is_embedded_with_the_tasks_prompt(hub_root: Path, cache: Path) -> None:
    from harness.texts.normal import pair_keys

    model = make_model(hub_root, SentenceTransformer, dtype="float32").eval()
    pairs = scoring.task_pairs("STS16")
    assert pairs is not None
    shared = frozenset(pair_keys(pairs.sentence1, pairs.sentence2)[:10])
    rest = materials.StsPairs(pairs.sentence1[10:], pairs.sentence2[10:], pairs.gold[10:])
    model.prompts = {"STS16": "happy happy dog "}
    (found,) = scoring.score_unshared(scoring.Encoder(model), ["STS16"], shared).values()
    left, right = (
        model.encode(list(side), prompt="happy happy dog ", normalize_embeddings=True)
        for side in (rest.sentence1, rest.sentence2)
    )
    assert found == pytest.approx(intervals.spearman(rest.gold, (left * right).sum(1)), abs=1e-5)
    bare = scoring.score_sts(scoring.Encoder(model), rest)[1]["spearman_cosine"]
    assert abs(found - bare) > 1e-4


def test_queries_and_documents_take_their_own_way_through_a_router(hub_root: Path, cache: Path, tmp_path: Path) -> None:
    model = make_model(hub_root, SentenceTransformer, dtype="float32").eval()
    torch.manual_seed(3)
    other = Dense(32, 32, activation_function=torch.nn.Tanh())
    transformer, pooling = model
    assert isinstance(transformer, Transformer)
    assert isinstance(pooling, Pooling)
    routed = SentenceTransformer(
        modules=[
            Router(
                {"query": [transformer, pooling, other], "document": [transformer, pooling]}, default_route="document"
            )
        ],
        device="cpu",
    ).eval()
    names = ("NFCorpus", "STS16")
    found, missing = scored(routed, names, tmp_path)

    assert missing == {}
    agree(found, by_mteb(routed, names))
    assert abs(found["NFCorpus"] - by_mteb(model, ["NFCorpus"])["NFCorpus"]) > 1e-4


def test_each_subset_of_a_task_is_a_figure_of_its_own(hub_root: Path, cache: Path, tmp_path: Path) -> None:
    model = make_model(hub_root, SentenceTransformer, dtype="float32").eval()
    found, missing = scored(model, ["STS17", "STS16"], tmp_path / "all")
    one, _ = scored(model, ["STS17:en-en", "STS17:en-de"], tmp_path / "two")

    assert missing == {}
    assert set(found) == {"STS16", *(f"STS17:{language}" for language in STS17)}
    assert one == {name: found[name] for name in ("STS17:en-en", "STS17:en-de")}
    plain = mteb.evaluate(model, task("STS17:en-en"), cache=None, co2_tracker=False, show_progress_bar=False)
    assert one["STS17:en-en"] == pytest.approx(plain.task_results[0].get_score(), abs=1e-6)
    assert len(set(found.values())) > 6, "they are not one mean"
    assert scoring.subsets(["STS16", "STS17:en-de"]) == {"STS17:en-de": {"STS17:en-de": "eng-Latn, deu-Latn"}}
    pairs = [scoring.task_pairs(name) for name in ("STS17:en-en", "STS17")]
    assert [len(p.gold) for p in pairs if p is not None] == [18, 18 * len(STS17)]


def test_a_run_of_a_task_with_subsets_is_planned_judged_and_reported_by_subset(copy: Path) -> None:
    store = copy / "runs" / "small-book"
    asked = ("--tasks", "STS17", "--executor", "inline")
    done = harness("run", "study.py", *asked, cwd=copy)

    assert done.returncode in (0, 1), done.stderr
    final = [r for r in load(store).records() if r.stage != "tune" and "subsets" in r.provenance]
    assert final
    assert all({f"mteb/STS17:{lang}" for lang in STS17} <= set(r.scores) for r in final)
    assert all("mteb/STS17" not in r.scores for r in final)
    page = (copy / "reports" / "small-book" / "README.md").read_text(encoding="utf-8")
    assert "STS17:en-de" in page
    assert "eng-Latn, deu-Latn" in page
    before = {path: path.read_bytes() for path in (store / "records").iterdir()}
    assert harness("run", "study.py", *asked, cwd=copy).returncode in (0, 1)
    assert {path: path.read_bytes() for path in (store / "records").iterdir()} == before, "nothing is left to do"


def test_a_subset_that_there_is_not_is_refused_before_anything_is_trained(copy: Path) -> None:
    done = harness("run", "study.py", "--tasks", "STS17:en-fi", "--executor", "inline", cwd=copy)

    assert done.returncode == 2
    assert "--tasks STS17:en-fi: STS17 has no subset 'en-fi'; choose from ar-ar, en-ar, en-de, en-en" in done.stderr
    named = harness("fetch", "study.py", "--tasks", "EmbeddedSTS:en", "--testbed", "embedded", cwd=copy)
    assert named.returncode == 2
    assert "EmbeddedSTS has no subsets" in named.stderr


class Places(SentenceTransformer):
    """A model that knows of a text only one of a few places: its number of words, modulo that."""

    places = 1

    def encode(self, sentences: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        given = [sentences] if isinstance(sentences, str) else list(sentences)
        corners = np.eye(8, dtype=np.float32)[:, :] + np.float32(0.25)
        found = corners[[sum(map(ord, text)) % self.places for text in given]]
        return torch.from_numpy(found) if kwargs.get("convert_to_tensor") else found

    def encode_query(self, sentences: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return self.encode(sentences, **kwargs)

    def encode_document(self, sentences: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        return self.encode(sentences, **kwargs)


EVERY_KIND = (
    *("STS16", "Banking77Classification", "TwitterSemEval2015", "TwentyNewsgroupsClustering.v2", "NFCorpus"),
    "AskUbuntuDupQuestions",
)


def knowing(places: int, hub_root: Path) -> Places:
    model = make_model(hub_root, Places, dtype="float32").eval()
    model.places = places
    return model


def test_a_constant_encoder_has_no_score_on_any_kind_of_task(hub_root: Path, cache: Path, tmp_path: Path) -> None:
    found, missing = scored(knowing(1, hub_root), EVERY_KIND, tmp_path)

    assert found == {}
    assert set(missing) == set(EVERY_KIND)
    assert all(reason.startswith("unfit: ") and "same embedding" in reason for reason in missing.values())


def test_a_nearly_constant_or_infinite_encoder_has_none_either(hub_root: Path, cache: Path, tmp_path: Path) -> None:
    class Nearly(Places):
        def encode(self, sentences: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            noise = np.array([[sum(map(ord, text)) % 97] for text in sentences], np.float32)
            return super().encode(sentences, **kwargs) + 1e-6 * noise * np.eye(8, dtype=np.float32)[:1]

    class Infinite(Places):
        def encode(self, sentences: Any, **kwargs: Any) -> Any:  # type: ignore[override]
            return super().encode(sentences, **kwargs) / np.float32(0)

    for cls, said in ((Nearly, "same embedding"), (Infinite, "not finite")):
        with np.errstate(divide="ignore"):
            found, missing = scored(make_model(hub_root, cls, dtype="float32").eval(), ["NFCorpus", "STS16"], tmp_path)
        assert found == {}
        assert all(said in reason and reason.startswith("unfit") for reason in missing.values()), missing


def test_equal_similarities_are_ranked_by_chance_and_not_by_the_data_sets_order(
    hub_root: Path, cache: Path, tmp_path: Path
) -> None:
    """In the tiny reranking set, as in the real one, right documents come last by name: mteb ranks them first."""
    model, names = knowing(2, hub_root), ["AskUbuntuDupQuestions"]
    (found,) = scored(model, names, tmp_path / "1")[0].values()
    (again,) = scored(model, names, tmp_path / "2")[0].values()
    (favoured,) = by_mteb(model, names).values()

    assert found == again
    assert favoured > 0.55
    chance = np.mean([_map_by_chance(seed) for seed in range(200)])
    assert abs(found - chance) < 0.13, "about as much as twelve queries leave to chance"


def test_chance_orders_equal_similarities_and_no_others(hub_root: Path) -> None:
    judged = EvaluatedModel(scoring.Encoder(make_model(hub_root, SentenceTransformer, dtype="float32")), "a/b", "c")
    query, other = np.eye(2, dtype=np.float32)
    alike = judged.similarity(query[None], np.tile(query + other, (300, 1)))[0].numpy()
    assert len(set(alike)) > 295
    assert np.ptp(alike) < 1e-9
    assert abs(intervals.spearman(np.arange(300), alike)) < 0.3, "not by their place in the list"

    angles = np.linspace(0.5, 0.51, 300)[:, None]
    found = judged.similarity(query[None], np.hstack([np.cos(angles), np.sin(angles)]).astype(np.float32))
    nearer = found[0].numpy()
    assert (np.diff(nearer) < 0).all()


def _map_by_chance(seed: int) -> float:
    """Mean average precision of two right documents in ten, in random order, over twelve queries."""
    random = np.random.default_rng(seed)
    places = np.sort([random.choice(10, 2, replace=False) for _ in range(12)], axis=1) + 1
    return float(np.mean((1 / places[:, 0] + 2 / places[:, 1]) / 2))


def guide_of(hub_root: Path, folder: Path) -> Path:
    """Write a guide whose weights are stored in bfloat16."""
    make_model(hub_root, SentenceTransformer, dtype="bfloat16").save_pretrained(str(folder), create_model_card=False)
    return folder


def test_a_guide_is_loaded_in_float32_whatever_its_weights_are_stored_in(hub_root: Path, tmp_path: Path) -> None:
    model = make_model(hub_root, SentenceTransformer, dtype="float32")
    guide: Any = losses.gist(model, guide=str(guide_of(hub_root, tmp_path / "guide"))).guide

    assert {parameter.dtype for parameter in guide.parameters()} == {torch.float32}
    assert not guide.training


def test_a_guide_whose_weights_could_run_code_is_refused(hub_root: Path, tmp_path: Path) -> None:
    folder = guide_of(hub_root, tmp_path / "guide")
    (weights,) = folder.rglob("model.safetensors")
    torch.save(load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()

    with pytest.raises(RunFailed, match=r"the guide .* cannot be loaded .*safetensors format"):
        losses.gist(make_model(hub_root, SentenceTransformer, dtype="float32"), guide=str(folder))


@pytest.mark.parametrize("what", ["a pickled module", "a module of its own", "nothing there"])
def test_a_guide_that_could_run_code_is_refused_like_a_base_model(what: str, hub_root: Path, tmp_path: Path) -> None:
    folder = guide_of(hub_root, tmp_path / "guide")
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    if what == "a pickled module":
        (folder / "2_Dense").mkdir()
        (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"a pickle")
    elif what == "a module of its own":
        modules[0]["type"] = "mine.Transformer"
        (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    words = {"a pickled module": "2_Dense/pytorch_model.bin", "a module of its own": "mine.Transformer"}
    guide = str(tmp_path / "no-such-guide") if what == "nothing there" else str(folder)

    with pytest.raises(RunFailed, match=rf"the guide .* cannot be loaded .*{words.get(what, 'no such folder')}"):
        losses.gist(make_model(hub_root, SentenceTransformer, dtype="float32"), guide=guide)


def test_nobody_is_asked_whether_to_run_a_models_code(
    hub_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The libraries ask on a terminal, once for each of a model's files that name code, unless they are told not to."""
    folder = guide_of(hub_root, tmp_path / "guide")
    for name in ("config.json", "tokenizer_config.json"):
        plain = json.loads((folder / name).read_text(encoding="utf-8"))
        code = {each: f"somebody/else--code.{each}" for each in ("AutoConfig", "AutoModel", "AutoTokenizer")}
        (folder / name).write_text(json.dumps({**plain, "auto_map": code}), encoding="utf-8")
    asked: list[str] = []

    def answer(prompt: str = "") -> str:
        asked.append(prompt)
        return "n"

    monkeypatch.setattr("builtins.input", answer)

    losses.gist(make_model(hub_root, SentenceTransformer, dtype="float32"), guide=str(folder))
    load_model(str(folder), None)
    plain = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**plain, "model_type": "of-their-own"}), encoding="utf-8")
    with pytest.raises(RunFailed, match="its own code, which is not executed") as told:
        load_model(str(folder), None)
    assert "trust_remote_code" not in str(told.value)
    with pytest.raises(RunFailed, match="its own code, which is not executed") as told:
        losses.gist(make_model(hub_root, SentenceTransformer, dtype="float32"), guide=str(folder))
    assert "trust_remote_code" not in str(told.value)
    assert asked == []
