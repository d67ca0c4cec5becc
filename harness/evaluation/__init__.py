"""Evaluation of a model: STS sets, mteb tasks, and calibration against published scores."""
