"""Audit of the training and evaluation data, before the first run."""
