"""Own data in the embedded language: do pairs of statements make its base model find the source of a statement better?

    harness run studies/own_data.py

The form of a study file for rows, models and measures of one's own, which needs neither network nor GPU. Each query is
a statement that follows from one of the documents. The test measure is retrieval; `also` shows what is forgotten, on
the testbed's STS set. With a file of rows the source is `sources.file("pairs.csv")`, as `harness new` writes it.
"""

from harness import (
    Ablation,
    Budget,
    Space,
    Study,
    Testbed,
    beats,
    choice,
    columns,
    keeps,
    log_uniform,
    losses,
    measures,
    testbeds,
)

language = testbeds.embedded
pairs = language.source.where(lambda rows: rows["label"] == 0).take(6000)
train, dev, test = pairs.split(by="premise", dev=0.15, test=0.15)
view = columns("hypothesis", "premise")

ablation = Ablation(
    name="own_data",
    testbed=Testbed(
        name="statements",
        model=language.model,
        source=train,
        dev=measures.retrieval(dev, "statements-dev", query="hypothesis", document="premise"),
        test=measures.retrieval(test, "statements-test", query="hypothesis", document="premise"),
        also=[language.dev],
        lr_scale=language.lr_scale,
    ),
    studies=[
        Study("mnr", loss=losses.MultipleNegativesRankingLoss, view=view),
        Study("no duplicates", loss=losses.MultipleNegativesRankingLoss, view=view, sampler="no_duplicates"),
        Study("symmetric", loss=losses.MultipleNegativesSymmetricRankingLoss, view=view),
    ],
    space=Space(batch_size=choice(16, 32, 64), lr=log_uniform(5e-6, 1e-4)),
    budget=Budget(trials=3, epochs=1, seeds=4),
    expect=[
        beats("mnr", "untrained", by=0.02),
        keeps("mnr", "untrained", figure="stsb-dev/spearman_cosine", within=0.02),
    ],
)
