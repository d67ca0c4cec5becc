"""Which runs an ablation needs, and which test scores were known when."""
