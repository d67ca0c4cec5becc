"""The store: a folder of records, one atomically written file per run, written by one process."""
