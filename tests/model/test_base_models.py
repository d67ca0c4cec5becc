"""A base model is loaded as it is, whole, in float32 and without its author's code, or it is refused with the reason."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from commandline import STUDY, harness
from hub import Hub
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import AutoModel, BertConfig, BertForMaskedLM, BertModel

from harness import Ablation, Budget, Space, Study, api, choice, log_uniform, testbeds
from harness.compat import UNPACKED, Dense, Normalize, Pooling, load_transformer
from harness.errors import RunFailed
from harness.model.loading import how_loaded, load_model
from harness.spec import losses
from harness.testbeds import Testbed
from harness.testbeds.refs import Ref

SENTENCES = ["the tall sailor watches the stone in the park .", "never", "the cat holds the lamp at home . " * 5]


@pytest.fixture
def bert(hub_root: Path, tmp_path: Path) -> Path:
    """A plain BERT without modules.json, free to change."""
    return Path(shutil.copytree(hub_root / "models" / "google-bert" / "bert-base-uncased", tmp_path / "bert"))


def saved(bert: Path, folder: Path, *more: torch.nn.Module, pooling: Any = "cls", **options: Any) -> Path:
    """Save a sentence-transformers model of a BERT that cuts at 16 tokens, a pooling and what follows it."""
    modules = [load_transformer(str(bert), max_seq_length=16), Pooling(32, pooling_mode=pooling), *more]
    SentenceTransformer(modules=modules, device="cpu", **options).save_pretrained(str(folder))
    return folder


def embedded(model: SentenceTransformer) -> np.ndarray:
    vectors: np.ndarray = model.encode(SENTENCES)
    return vectors


KINDS: dict[str, Callable[[], list[torch.nn.Module]]] = {
    "cls": list,
    "cls, normalised": lambda: [Normalize()],
    "cls, dense, normalised": lambda: [Dense(32, 12), Normalize()],
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_with_modules_is_what_sentence_transformers_makes_of_it(kind: str, bert: Path, tmp_path: Path) -> None:
    prompts = {"query": "the cat : ", "document": ""}
    folder = saved(
        bert, tmp_path / "whole", *KINDS[kind](), prompts=prompts, default_prompt_name="query", similarity_fn_name="dot"
    )
    plain = SentenceTransformer(str(folder), device="cpu")
    model = load_model(str(folder), None)

    np.testing.assert_allclose(embedded(model.eval()), embedded(plain), rtol=1e-4, atol=1e-5)
    assert (model.max_seq_length, model.prompts, model.default_prompt_name) == (16, prompts, "query")
    assert model.similarity_fn_name == "dot"
    assert [type(module) for module in model] == [type(module) for module in plain]
    assert np.abs(embedded(load_model(str(bert), None).eval())[:, :12] - embedded(plain)[:, :12]).max() > 1e-2


def test_what_is_saved_after_training_is_loaded_by_others_as_it_was(bert: Path, tmp_path: Path) -> None:
    model = load_model(str(saved(bert, tmp_path / "whole", Dense(32, 12), prompts={"query": "q : "})), None)
    model.save_pretrained(str(tmp_path / "again"), create_model_card=False)
    again = SentenceTransformer(str(tmp_path / "again"), device="cpu")
    np.testing.assert_allclose(embedded(again), embedded(model.eval()), rtol=1e-4, atol=1e-5)
    assert again.prompts["query"] == "q : "


def test_a_pooling_that_is_asked_for_takes_the_place_of_the_models_own_alone(bert: Path, tmp_path: Path) -> None:
    folder = str(saved(bert, tmp_path / "whole", Dense(32, 12), Normalize()))
    own, mean = load_model(folder, None).eval(), load_model(folder, "mean").eval()
    assert [getattr(m, "pooling_mode", None) for m in mean] == [None, "mean", None, None]
    assert mean.max_seq_length == 16
    assert np.abs(embedded(own) - embedded(mean)).max() > 1e-3
    for name, weights in own.state_dict().items():
        assert torch.equal(weights, mean.state_dict()[name]), name


@pytest.mark.skipif(bool(UNPACKED), reason="several modes are given in another way before sentence-transformers 5.4")
def test_a_pooling_that_has_no_place_in_the_model_is_refused(bert: Path, tmp_path: Path) -> None:
    both = saved(bert, tmp_path / "both", Dense(64, 12), pooling=("cls", "mean"))
    assert load_model(str(both), None)[1].pooling_mode == ("cls", "mean")
    with pytest.raises(RunFailed, match=r"pooling='mean' cannot be set, because it has several poolings.*leave it out"):
        load_model(str(both), "mean")


def test_a_plain_model_gets_the_pooling_of_the_testbed_and_float32(bert: Path) -> None:
    AutoModel.from_pretrained(bert).to(torch.bfloat16).save_pretrained(bert)
    for asked, got in ((None, "mean"), ("cls", "cls"), ("max", "max")):
        model = load_model(str(bert), asked)  # type: ignore[arg-type]
        assert [type(module).__name__ for module in model] == ["Transformer", "Pooling"]
        assert model[1].pooling_mode == got
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def rename(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    path = folder / "model.safetensors"
    save_file({key: value.contiguous() for key, value in change(load_file(path)).items()}, path, {"format": "pt"})


def configure(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def deepen(folder: Path, stored: int, configured: int) -> None:
    config = BertConfig.from_pretrained(folder)
    config.num_hidden_layers = stored
    BertModel(config).save_pretrained(folder)
    configure(folder, num_hidden_layers=configured)


SIZES = "" if transformers.__version__.startswith("4.") else " ([64, 32] for [128, 32])"  # which 4 does not tell
REFUSED: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "under module.": (
        lambda f: rename(f, lambda w: {f"module.{key}": value for key, value in w.items()}),
        [
            "missing in its files, so that they would be random",
            "embeddings.LayerNorm.bias",
            "module.embeddings",
            "more",
        ],
    ),
    "under encoder.": (
        lambda f: rename(f, lambda w: {f"encoder.{key}": value for key, value in w.items()}),
        ["missing", "embeddings.word_embeddings.weight", "encoder.embeddings"],
    ),
    "half of the layers missing": (lambda f: deepen(f, 1, 2), ["16 missing", "encoder.layer.1.", "11 more"]),
    "more layers stored than configured": (
        lambda f: deepen(f, 2, 1),
        ["16 in its files that the model of config.json does not have", "encoder.layer.1."],
    ),
    "one tensor missing": (
        lambda f: rename(f, lambda w: {k: v for k, v in w.items() if k != "embeddings.LayerNorm.weight"}),
        ["1 missing in its files, so that they would be random: embeddings.LayerNorm.weight. "],
    ),
    "of another size": (
        lambda f: configure(f, max_position_embeddings=128),
        ["1 of another size", f"embeddings.position_embeddings.weight{SIZES}"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("whole", [False, True], ids=["plain", "with modules.json"])
def test_weights_that_are_not_the_models_are_refused_by_name(
    case: str, whole: bool, bert: Path, tmp_path: Path
) -> None:
    folder = saved(bert, tmp_path / "whole") if whole else bert
    damage, words = REFUSED[case]
    damage(folder)
    with pytest.raises(RunFailed) as told:
        load_model(str(folder), None)
    for word in [str(folder), *words]:
        assert word in str(told.value), told.value


def without_pooler(folder: Path) -> None:
    rename(folder, lambda w: {key: value for key, value in w.items() if "pooler" not in key})


def with_head(folder: Path) -> None:
    """Save the model as its language model's checkpoint, whose keys lie under `bert.` beside the head's."""
    whole = BertForMaskedLM(BertConfig.from_pretrained(folder))
    whole.bert.load_state_dict({k: v for k, v in load_file(folder / "model.safetensors").items() if "pooler" not in k})
    whole.save_pretrained(folder)


LEGITIMATE: dict[str, Callable[[Path], object]] = {
    "no pooler": without_pooler,
    "a head of the language model": with_head,
    "gamma and beta": lambda f: rename(
        f,
        lambda w: {
            k.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): v
            for k, v in w.items()
        },
    ),
    "position ids": lambda f: rename(f, lambda w: {**w, "embeddings.position_ids": torch.arange(64)[None]}),
}


@pytest.mark.parametrize("case", LEGITIMATE)
def test_checkpoints_as_they_are_published_are_loaded_whole(case: str, bert: Path) -> None:
    before = embedded(load_model(str(bert), None).eval())
    LEGITIMATE[case](bert)
    np.testing.assert_allclose(embedded(load_model(str(bert), None).eval()), before, rtol=1e-4, atol=1e-6)


def as_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "someone/else"}', encoding="utf-8")


def with_own_module(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    modules[1]["type"] = "mine.Pooling"
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    (folder / "mine.py").write_text(f"open({str(folder / 'ran')!r}, 'w')", encoding="utf-8")


def with_own_architecture(folder: Path) -> None:
    configure(folder, model_type="mine", auto_map={"AutoConfig": "mine.Config", "AutoModel": "mine.Model"})
    (folder / "mine.py").write_text(f"open({str(folder / 'ran')!r}, 'w')", encoding="utf-8")


def pickled(folder: Path) -> None:
    dense = next(folder.glob("*_Dense"))
    torch.save(load_file(dense / "model.safetensors"), dense / "pytorch_model.bin")
    (dense / "model.safetensors").unlink()


def as_cross_encoder(folder: Path) -> None:
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": "CrossEncoder"}), encoding="utf-8")


STRANGE: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "an adapter": (as_adapter, ["it is an adapter", "merge"]),
    "a module of its own": (with_own_module, ["mine.Pooling", "not executed"]),
    "an architecture of its own": (with_own_architecture, ["its own code, which is not executed"]),
    "a pickled module": (pickled, ["Dense/pytorch_model.bin", "they can run code"]),
    "a cross-encoder": (as_cross_encoder, ["it is a CrossEncoder"]),
}


@pytest.mark.parametrize("case", STRANGE)
def test_code_pickles_and_models_of_another_kind_are_refused(case: str, bert: Path, tmp_path: Path) -> None:
    folder = saved(bert, tmp_path / "whole", Dense(32, 12))
    change, words = STRANGE[case]
    change(folder)
    with pytest.raises(RunFailed) as told:
        load_model(str(folder), None)
    assert "trust_remote_code" not in str(told.value)
    assert not (folder / "ran").exists()
    for word in words:
        assert word in str(told.value), told.value


def planted(cache: Path, name: str, model: Path) -> Testbed:
    """Put a model into the hub's cache, as fetching it would; return a testbed that has it."""
    revision = hashlib.sha1(name.encode()).hexdigest()
    folder = cache / "hub" / f"models--planted--{name}" / "snapshots" / revision
    if not folder.exists():
        shutil.copytree(model, folder)
    return replace(testbeds.book, model=Ref(f"planted/{name}", revision), also=(), max_rows=60)


def ablation(bed: Testbed, **study: Any) -> Ablation:
    return Ablation(
        name="models",
        testbed=bed,
        studies=[Study("mnr", losses.MultipleNegativesRankingLoss, "pair", **study)],
        space=Space(batch_size=choice(8, 16), lr=log_uniform(1e-4, 1e-2)),
        budget=Budget(trials=1, epochs=1, seeds=1),
    )


def test_a_run_says_how_its_model_was_loaded_and_the_audit_does_before(bert: Path, cache: Path, tmp_path: Path) -> None:
    bed = planted(cache, "whole", saved(bert, tmp_path / "whole", Normalize()))
    plan = api.run(ablation(bed), tmp_path / "store", executor="inline")
    told = {run.record.provenance["model_loaded"] for run in plan.runs if run.record}
    assert told == {"Transformer, Pooling (cls), Normalize; at most 16 tokens; as its modules.json says"}
    assert plan.audit is not None
    note = next(finding for finding in plan.audit.findings if finding.what == "base model")
    assert (note.severity, next(iter(told)) in note.explain) == ("note", True)
    assert (
        how_loaded(testbeds.book)
        == "Transformer, Pooling (mean); at most 64 tokens; pooling added: it has no modules.json"
    )


def test_a_model_without_its_weights_stops_a_run_before_anything_is_trained(
    bert: Path, cache: Path, tmp_path: Path
) -> None:
    deepen(bert, 1, 2)
    bed = planted(cache, "half", bert)
    text = STUDY.replace(
        "testbed=testbeds.book",
        f"testbed=replace(testbeds.book, model=testbeds.refs.Ref({bed.base.repo!r}, {bed.base.revision!r}))",
    )
    (tmp_path / "study.py").write_text(f"from dataclasses import replace\n{text}", encoding="utf-8")
    done = harness("run", "study.py", "--no-mteb", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "16 missing in its files, so that they would be random: encoder.layer.1." in done.stderr
    assert "nothing was trained" in done.stderr
    assert list((tmp_path / "runs" / "small-book" / "records").iterdir()) == []


def test_fetching_brings_what_lies_in_a_models_folders(hub: Hub, hub_root: Path, bert: Path, tmp_path: Path) -> None:
    folder = hub_root / "models" / "planted" / "nested"
    if not folder.exists():
        saved(bert, folder, Dense(32, 12))
    text = STUDY.replace(
        "testbed=testbeds.book", "testbed=replace(testbeds.book, model=testbeds.refs.Ref('planted/nested', '1' * 40))"
    )
    (tmp_path / "study.py").write_text(f"from dataclasses import replace\n{text}", encoding="utf-8")
    home = tmp_path / "home"
    online = {"HF_ENDPOINT": hub.url, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    assert harness("fetch", "study.py", "--tasks", "", cwd=tmp_path, env=online).returncode == 0
    found = next(home.rglob("snapshots/" + "1" * 40))
    model = load_model(str(found), None)
    np.testing.assert_allclose(
        embedded(model.eval()), embedded(SentenceTransformer(str(folder), device="cpu")), rtol=1e-4, atol=1e-5
    )
