"""Is the data fit to train and to test on? Asked before the first run."""
