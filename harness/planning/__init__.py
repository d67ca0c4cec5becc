"""Planning: the runs of an ablation, and the log of designs and known test scores."""
