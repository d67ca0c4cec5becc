"""Doing what is planned: the driver, the search, the workers and one run from beginning to end."""
