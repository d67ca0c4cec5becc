"""What training computes in, on processors that this one is not."""

from __future__ import annotations

import pytest
import torch

from harness.training import precision
from harness.training.precision import precision_here


@pytest.mark.parametrize(
    ("instruction", "slower", "wanted"),
    [
        (True, torch.float32, "bf16"),
        (True, torch.bfloat16, "fp32"),
        (True, None, "fp32"),
        (False, torch.float32, "fp32"),
    ],
    ids=["faster in bf16", "slower in bf16", "as fast", "without bf16"],
)
def test_bf16_is_for_processors_that_multiply_it_faster(
    instruction: bool, slower: torch.dtype | None, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product that takes longer than the processor's own: time passes with each, twice as much in one precision."""
    clock = [0.0]

    def multiply(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        clock[0] += 2.0 if left.dtype == slower else 1.0
        return left

    monkeypatch.setattr(torch.Tensor, "__matmul__", multiply)
    monkeypatch.setattr(precision, "perf_counter", lambda: clock[0])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instruction)
    precision._gain.cache_clear()
    try:
        assert precision_here("auto") == wanted
        assert precision_here("fp32") == "fp32"
    finally:
        precision._gain.cache_clear()


@pytest.mark.parametrize(("has_bf16", "wanted"), [(True, "bf16"), (False, "fp16")])
def test_a_gpu_trains_in_16_bits(has_bf16: bool, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_bf16)

    assert precision_here("auto") == wanted
