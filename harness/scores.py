"""Names of scores that several parts of the package use."""

from __future__ import annotations

OBJECTIVE = "stsb-dev/spearman_cosine"
"""What the package's own testbeds are tuned by. Records of store version 2, which name no objective, have this one."""
HEADLINE = "stsb-test/spearman_cosine"
"""What verdicts on the package's own testbeds are about. Records of store version 2 have this headline."""

UNFIT = "unfit: "
"""Start of the reason why a task has no score if the model is the cause, so that repeating the run would not help."""
