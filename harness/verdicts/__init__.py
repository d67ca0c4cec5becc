"""What the records say of the claims: evidence, rules, verdicts, power and regressions."""
