"""Training one run: the only home of the sentence-transformers trainer, and the fast exact forward."""
