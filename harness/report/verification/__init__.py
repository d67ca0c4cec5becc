"""Recompute the numbers of a published report from its records, by a path of its own.

    published     the report as a reader has it: tables of README.md, scores.csv, records.json
    comparing     printed numbers and texts against recomputed ones
    form          headings, tables and columns that a report has
    repetitions   means, differences and intervals over seeds, by scipy's own tests
    first_screen  the verdict's line, the answer, the result table and the claims
    files         scores.csv against records.json, report.html against README.md
    scores        tables of final scores: means, differences, ranks, steps, sweeps
    levels        the levels at which claims are judged
    claims        differences, intervals and outcomes of claims
    runs          tables that records.json gives: costs, budgets, diagnostics, tuning curves
    sentences     sentences that the files decide: ranks, lost runs, conditions, counts of the audit
    verify        the whole report
    items         which items decide, against the store
    stored        the report against its store: records, and intervals that need predictions
    rendered      the report against its study file: every line, rendered again

Up to `verify`, only the titles of scores, the rules by which texts are escaped, the simulated levels of repeated looks
and the making of report.html from the README are shared with the code that writes reports. Without a store, nothing
that needs predictions is recomputed, because no report has them.
"""
