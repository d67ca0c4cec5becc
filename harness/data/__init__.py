"""From NLI rows to the columns that losses read."""
