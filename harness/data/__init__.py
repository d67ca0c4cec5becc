"""Rows as a study trains on them: what is wrong with them, cleaning, overlap, mined negatives."""
