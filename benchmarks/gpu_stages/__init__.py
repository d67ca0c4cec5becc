"""The stages of benchmarks/gpu.py, one module each; `run(stage)` measures one subject and reports rows."""
