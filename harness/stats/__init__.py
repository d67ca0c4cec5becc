"""Intervals, bootstraps, repeated looks: pure functions of numbers."""
