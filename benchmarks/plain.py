"""One run written as in sentence-transformers' documentation, without the harness, to compare scores and speed.

    python benchmarks/plain.py mnr --batch-size 32 --lr 2e-4

Prints one JSON object: STSB dev scores of the untrained and the trained model, and the seconds of training.
"""

import argparse
import json
import time

import torch
from datasets import Value, load_dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.evaluation import EmbeddingSimilarityEvaluator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loss", choices=("softmax", "cosine", "mnr"))
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bf16", action="store_true")
    options = parser.parse_args()

    rows = load_dataset("nyu-mll/glue", "mnli", split="train")
    rows = rows.select(range(min(options.rows, len(rows)))).remove_columns("idx")
    model = SentenceTransformer("google-bert/bert-base-uncased")
    loss: torch.nn.Module
    if options.loss == "softmax":
        loss = losses.SoftmaxLoss(model, model.get_embedding_dimension() or 0, num_labels=3)
    elif options.loss == "cosine":
        rows = rows.cast_column("label", Value("float32")).map(lambda row: {"label": float(row["label"] == 0)})
        loss = losses.CosineSimilarityLoss(model)
    else:
        rows = rows.filter(lambda row: row["label"] == 0).remove_columns("label")
        loss = losses.MultipleNegativesRankingLoss(model)

    dev = load_dataset("nyu-mll/glue", "stsb", split="validation")
    judge = EmbeddingSimilarityEvaluator(
        list(dev["sentence1"]), list(dev["sentence2"]), [score / 5 for score in dev["label"]], name="stsb-dev"
    )
    untrained = judge(model)
    arguments = SentenceTransformerTrainingArguments(
        output_dir="/tmp/plain",
        num_train_epochs=1,
        per_device_train_batch_size=options.batch_size,
        learning_rate=options.lr,
        warmup_steps=0.1,
        bf16=options.bf16,
        use_cpu=not torch.cuda.is_available(),
        seed=options.seed,
        save_strategy="no",
        report_to="none",
    )
    trainer = SentenceTransformerTrainer(model=model, args=arguments, train_dataset=rows, loss=loss)
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    print(
        json.dumps({"untrained": untrained, "trained": judge(model), "rows": len(rows), "seconds": round(seconds, 1)})
    )


if __name__ == "__main__":
    main()
