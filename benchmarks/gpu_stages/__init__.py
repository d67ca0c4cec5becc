"""The stages of benchmarks/gpu.py, a module each; `run(stage)` of each measures one thing and tells it line by line."""
