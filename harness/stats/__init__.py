"""Statistics: confidence intervals, bootstraps, repeated looks. Pure functions of numbers."""
