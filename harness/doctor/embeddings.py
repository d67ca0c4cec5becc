"""Checks of embeddings: they depend on the text, the weights and the prompt, and on nothing else."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from harness.doctor import material
from harness.doctor.outcome import ROUNDING, Outcome, passed, require, require_equal_numbers, skipped
from harness.evaluation.encoder import Encoder
from harness.model.certificate import certify
from harness.model.loading import load_model
from harness.training.precision import precision_here

CERTIFIED = ("MultipleNegativesRankingLoss", "SoftmaxLoss", "CoSENTLoss", "CachedMultipleNegativesRankingLoss")
"""Losses of four kinds: in-batch negatives, with parameters of its own, of all pairs of rows, and with a cache."""

PROMPT = "question: "

CUT = 8
"""Number of tokens at which long texts are cut."""


def fast_path() -> Outcome:
    """Embeddings and the gradient of every parameter are the same with the fast forward path and with the plain one."""
    model, feeds = material.fresh(), material.feeds()
    if not model.ways:
        return skipped(f"a model on this device ({model.device.type}) has only the plain path")
    shares: list[float] = []
    paths: dict[str, None] = {}
    notes: list[str] = []
    for name in CERTIFIED:
        for precision in dict.fromkeys(("fp32", precision_here("auto"))):
            found = certify(model, feeds[name].loss, {}, feeds[name].rows(64), precision)
            # a GPU may decline to capture a loss's passes, and then packs them
            wrong = [reason for reason in found.refused if found.path == "plain" or not reason.startswith("captured")]
            of = f"{name} in {precision}"
            require(not wrong, f"a fast path that agrees with the plain one for {of}", "; ".join(wrong))
            require(found.path != "chunks", f"a path without padding for {of}", "that of chunks, which are padded")
            paths[f"{found.path} in {precision}"] = None
            shares.append(found.difference / found.bound)
            notes += found.refused
    refused = f"; refused: {'; '.join(dict.fromkeys(notes))}" if notes else ""
    return passed(f"{', '.join(paths)}; {len(CERTIFIED)} losses, at most {max(shares):.1%} of the bound{refused}")


def padding() -> Outcome:
    """A text has the same embedding alone and beside longer texts: padding is neither attended to nor pooled."""
    plain, texts = material.plain(), sorted(material.texts(40), key=len)
    some = [texts[0], texts[10], texts[20], texts[39]]
    alone = torch.cat([material.embedded_by(plain, [text]) for text in some]).numpy()
    bound = ROUNDING * float(np.abs(alone).max())
    what = "embeddings of texts alone and beside longer ones"
    gaps = [
        require_equal_numbers(f"{what}, by forward", material.embedded_by(plain, some), alone, bound),
        require_equal_numbers(f"{what}, by encode", plain.encode(some), alone, bound),
        require_equal_numbers(f"{what}, by the harness", material.fresh().embed(some), alone, bound),
    ]
    return passed(f"{what} differ by at most {max(gaps):.0e}")


def truncation() -> Outcome:
    """A text that is too long counts up to max_seq_length, and not at all after it."""
    head, tail, other = (" ".join(material.texts(30)[start : start + 10]) for start in (0, 10, 20))
    for model, kind in ((material.plain(), "plain"), (material.fresh().eval(), "fast")):
        own = model.max_seq_length
        for length in (own, CUT):
            model.max_seq_length = length
            tokens = model.preprocess([head, tail])["input_ids"].shape[1]
            require(tokens == length, f"{length} tokens of long texts by the {kind} model", f"{tokens}")
            cut, longer, another = material.embedded_by(model, [head, f"{head} {tail}", f"{other} {tail}"]).numpy()
            bound = ROUNDING * float(np.abs(cut).max())
            what = f"the embedding of a text with another end after {length} tokens"
            require_equal_numbers(what, longer, cut, bound)
            differs = bool(np.abs(another - cut).max() > bound)
            require(differs, f"another embedding for another beginning, cut at {length} tokens", "the same")
    return passed(f"texts end at {own} and at {CUT} tokens")


def prompts() -> Outcome:
    """A prompt is text before the text, in encode, by role and in training."""
    texts = material.texts(12)
    with_prompt, rows = [PROMPT + text for text in texts], material.rows_for(2, "none", 32)
    model = material.plain()
    expected, without = model.encode(with_prompt), model.encode(texts)
    bound = ROUNDING * float(np.abs(expected).max())
    require(bool(np.abs(expected - without).max() > bound), "other embeddings of other texts", "the same")
    model.prompts = {"query": PROMPT, "document": ""}
    what = "embeddings with a prompt and of texts that begin with it"
    for found, way in (
        (model.encode(texts, prompt=PROMPT), "encode"),
        (model.encode_query(texts), "encode_query"),
        (Encoder(model)(texts, role="query"), "the harness"),
    ):
        require_equal_numbers(f"{what}, by {way}", found, expected, bound)
    require_equal_numbers("embeddings of documents, without prompt", model.encode_document(texts), without, bound)
    written = rows.map(lambda row: {"text0": PROMPT + row["text0"]})
    loss = material.feeds()["MultipleNegativesRankingLoss"].loss
    by_prompt, by_text, neither = (
        material.weights(material.trained(loss, data, prompts=given)[0])
        for data, given in ((rows, {"text0": PROMPT}), (written, {}), (rows, {}))
    )
    apart = material.changed(by_prompt, by_text)
    require(not apart, "the same weights by prompts= and by rows with the prompt", f"{len(apart)} other tensors")
    require(bool(material.changed(by_prompt, neither)), "other weights than without prompt", "the same")
    return passed("encode, encode_query, the harness and training treat a prompt as text")


def saved_model() -> Outcome:
    """A trained model embeds as before after it was saved and loaded, with its settings; bf16 is loaded as float32."""
    texts, loss = material.texts(24), material.feeds()["MultipleNegativesRankingLoss"].loss
    model, _ = material.trained(loss, material.rows_for(2, "none", 32))
    model.eval()
    model.max_seq_length, model.prompts = CUT, {"query": PROMPT, "document": ""}
    expected, gaps = model.encode_query(texts), []
    bound = ROUNDING * float(np.abs(expected).max())
    with TemporaryDirectory() as folder:
        model.save_pretrained(folder, create_model_card=False)
        for loaded in (SentenceTransformer(folder, device=str(model.device)), load_model(folder, None).eval()):
            length = loaded.max_seq_length
            require(length == CUT, f"max_seq_length {CUT} of a saved model", f"{length}")
            what = f"embeddings of a saved model, loaded as {type(loaded).__name__}"
            gaps.append(require_equal_numbers(what, loaded.encode_query(texts), expected, bound))
    rounded = model.to(torch.bfloat16)
    with TemporaryDirectory() as folder:
        rounded.save_pretrained(folder, create_model_card=False)
        loaded = load_model(str(Path(folder)), None).eval()
    kinds = {parameter.dtype for parameter in loaded.parameters()}
    require(kinds == {torch.float32}, "a checkpoint in bf16 loaded in float32", ", ".join(map(str, kinds)))
    what = "embeddings of a checkpoint in bf16"
    require_equal_numbers(what, loaded.encode_query(texts), rounded.float().encode_query(texts), bound)
    return passed(f"embeddings of a saved and loaded model differ by at most {max(gaps):.0e}")


CHECKS = (fast_path, padding, truncation, prompts, saved_model)
