"""Training one model with one loss on one set of rows."""
