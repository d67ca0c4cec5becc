"""What the name of a column says of its values: whether they tell which texts belong together, or nothing of it."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Meaning: TypeAlias = Literal["score", "label", "opposite", "harmless", "unknown"]

_SCORE = {
    *("score", "scores", "similarity", "similarities", "sim", "relevance", "rating", "ratings", "gold", "relatedness"),
    *("cosine", "sts"),
}
_LABEL = {
    *("label", "labels", "class", "target", "duplicate", "duplicates", "match", "matches", "matching", "relevant"),
    *("similar", "paraphrase", "equivalent", "alike", "same", "related"),
}
_FILLER = {"is", "are", "human", "mean", "average", "avg", "pair", "semantic", "sentence", "text", "question", "value"}
"""Words that leave the meaning of a score or a label as it is."""

_OPPOSITE = {
    *("distance", "distances", "dist", "dissimilarity", "dissimilar", "different", "difference", "diff", "unlike"),
    *("unrelated", "irrelevant", "irrelevance", "mismatch", "unmatched", "rank", "ranking"),
}
_NEGATION = {"not", "non", "un"}

_CLASS = {
    *("label", "labels", "class", "classes", "intent", "intents", "category", "categories", "topic", "topics", "tag"),
    *("tags", "genre", "theme", "sentiment", "emotion"),
}
"""Last words of names of columns that hold classes of texts, before a word such as name or text."""

_HARMLESS = {
    *("id", "ids", "idx", "index", "uuid", "guid", "qid", "pid", "docid", "row", "line", "name", "code"),
    *("language", "languages", "lang", "locale", "country", "source", "origin", "split", "fold", "subset", "dataset"),
    *("corpus", "file", "filename", "path", "url", "link", "site", "domain", "topic", "topics", "category"),
    *("categories", "genre", "theme", "section", "chapter", "page", "version", "license", "publisher", "journal"),
    *("author", "user", "date", "year", "month", "week", "day", "time", "timestamp", "created", "updated", "length"),
    *("len", "words", "tokens", "chars", "characters", "price", "city"),
}
"""Last words of names of columns that say nothing of pairs."""

_NEGATIVE = {
    *("negative", "negatives", "neg", "negs", "rejected", "wrong", "incorrect", "bad", "distractor", "irrelevant"),
    *("contradiction", "unrelated", "dissimilar", "nonrelevant"),
}


def is_negative(name: str) -> bool:
    """Return whether a column of texts holds, by its name, those that do not belong to the others of their rows."""
    return bool(_NEGATIVE & {*_words(name)})


def is_class(name: str) -> bool:
    """Return whether a column holds, by its name, classes of texts: intent, "main_category", "labelName"."""
    words = _words(name)
    while len(words) > 1 and words[-1] in ("name", "names", "text", "value"):
        words.pop()
    return bool(words) and words[-1] in _CLASS


def meaning(name: str) -> Meaning:
    """Return what a name says of a column's values.

    Returns:
        "score" or "label": the larger, the more alike, by all of its words. "opposite": the larger, the less alike.
        "harmless": they are ids, sources, dates or the like. "unknown": anything else.
    """
    in_order = _words(name)
    words = {*in_order}
    said = words & (_SCORE | _LABEL)
    if words & _OPPOSITE or (said and words & _NEGATION):
        return "opposite"
    if said and words <= said | _FILLER:
        return "label" if said & _LABEL else "score"
    # A target_language is a language, but a label_id may be a label, and user_feedback is no user.
    return "harmless" if {*in_order[-1:]} & _HARMLESS and said <= {"target"} else "unknown"


def _words(name: str) -> list[str]:
    """Return the words of a name, such as is, duplicate of "is_duplicate", "isDuplicate" and "Is duplicate 1"."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.findall(r"[^\W\d_]+", parted.lower())


def looks_like_data(name: str) -> bool:
    """Return whether a name is rather a cell of a row: a number, a sentence, or a text of more than 60 characters."""
    text = name.strip()
    number = re.fullmatch(r"[+-]?(\d+([.,]\d+)?|[.,]\d+)([eE][+-]?\d+)?\s*%?", text)
    return bool(number) or len(text) > 60 or len(text.split()) > 3 or text.endswith((".", "!", "?", "。", "！", "？"))
