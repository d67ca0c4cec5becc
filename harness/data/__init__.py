"""Training rows: audit rules, cleaning, overlap with evaluation sets, mined negatives."""
