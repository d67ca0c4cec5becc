"""Scoring a model: STS sets, mteb's tasks, and published numbers to reproduce."""
