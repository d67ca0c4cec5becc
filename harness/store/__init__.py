"""The folder of records that a run leaves: one atomic file a run, written by one process."""
