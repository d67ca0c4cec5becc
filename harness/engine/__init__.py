"""Execution of a plan: the driver, the search, the workers, and a single run."""
