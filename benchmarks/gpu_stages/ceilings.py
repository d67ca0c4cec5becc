"""a. The card, driver and versions, and two upper bounds of speed: copying memory, and matrix products."""

from __future__ import annotations

import platform
import shutil
import subprocess
from functools import cache
from importlib.metadata import version

import torch
from training import matrix_peak

from gpu_stages.common import Stage, now

PACKAGES = ("torch", "triton", "transformers", "sentence-transformers", "tokenizers", "accelerate", "numpy", "mteb")


def run(stage: Stage) -> None:
    """Report the machine and its two upper bounds."""
    versions = {name: _version(name) for name in PACKAGES}
    card = torch.cuda.get_device_name() if stage.device == "cuda" else platform.processor() or "a CPU"
    stage.report(
        "machine",
        f"{card}, {_driver()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"sentence-transformers {versions['sentence-transformers']}, transformers {versions['transformers']}",
        card=card,
        versions=versions,
        cuda=torch.version.cuda,
        cores=torch.get_num_threads(),
    )
    precisions = ("fp32",) if stage.small else ("bf16", "tf32", "fp32")
    rates = {precision: product_rate(stage.device, precision) for precision in precisions}
    copied = copy_rate(stage.device)
    products = ", ".join(f"{name} {rate / 1e12:,.1f}" for name, rate in rates.items())
    stage.report(
        "ceilings",
        f"copy {copied / 1e9:,.0f} GB/s read and written; products, TFLOP/s: {products}",
        copy=copied,
        products=rates,
    )


def product_rate(device: str, precision: str) -> float:
    """Return the operations per second of a large matrix product in bf16, tf32 or fp32."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        return matrix_peak(device, precision)
    finally:
        torch.set_float32_matmul_precision(before)


@cache
def copy_rate(device: str) -> float:
    """Return the bytes read and written per second when a large tensor is copied: the best of five."""
    source = torch.empty(2**30 if device == "cuda" else 2**24, dtype=torch.int16, device=device)
    goal, seconds = torch.empty_like(source), []
    for _ in range(7):
        began = now(device)
        goal.copy_(source)
        seconds.append(now(device) - began)
    return 2 * source.nbytes / min(seconds[2:])


def _version(package: str) -> str:
    try:
        return version(package)
    except ImportError:
        return "none"


def _driver() -> str:
    if shutil.which("nvidia-smi") is None:
        return "no driver"
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return f"driver {subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip()}"
