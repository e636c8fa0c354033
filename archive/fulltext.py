"""The full-text index as a file format: its fields and how words are cut. Knows no log."""

from __future__ import annotations

from pathlib import Path

import tantivy

from archive.errors import IndexUnusable, Problem

POSITION_ID = "#position"  # not an archive id, so no mail can take its place
TEXT_FIELDS = ("subject", "body")
NAME_FIELDS = ("from", "to", "attachment")

_TEXT, _NAMES = "sceau_text", "sceau_names"
# French elisions: "l'élection" is to be found by "élection" and by "d'élection". As words of
# their own these letters say nothing.
_ELISIONS = ["c", "d", "j", "l", "m", "n", "s", "t", "qu", "jusqu", "lorsqu", "puisqu", "quoiqu"]


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
    for name in TEXT_FIELDS:
        builder.add_text_field(name, tokenizer_name=_TEXT)
    for name in NAME_FIELDS:
        builder.add_text_field(name, tokenizer_name=_NAMES)
    builder.add_date_field("date", stored=True, indexed=True, fast=True)
    builder.add_date_field("time", stored=True, indexed=True, fast=True)
    builder.add_boolean_field("unreadable", stored=True, indexed=True, fast=True)
    builder.add_text_field("origin", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("epoch", stored=True)
    builder.add_unsigned_field("position", stored=True)
    return builder.build()


def open_index(index_dir: Path, *, create: bool = False) -> tantivy.Index:
    """The index in this folder, its analysers set. Raises IndexUnusable."""
    try:
        if create:
            index_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            index = tantivy.Index(_schema(), path=str(index_dir))
        elif not index_dir.is_dir() or not tantivy.Index.exists(str(index_dir)):
            raise IndexUnusable(
                Problem(
                    "index.none",
                    "there is no full-text index in {folder} yet",
                    {"folder": str(index_dir)},
                )
            )
        else:
            index = tantivy.Index.open(str(index_dir))
    except (ValueError, OSError) as error:
        raise unusable(index_dir, str(error)) from error
    # Accents go before stemming, so that a query typed without them has the same stem.
    text = (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
        .filter(tantivy.Filter.remove_long(80))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .filter(tantivy.Filter.custom_stopword(_ELISIONS))
        .filter(tantivy.Filter.stemmer("french"))
        .build()
    )
    names = (
        tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
        .filter(tantivy.Filter.remove_long(320))
        .filter(tantivy.Filter.lowercase())
        .filter(tantivy.Filter.ascii_fold())
        .build()
    )
    index.register_tokenizer(_TEXT, text)
    index.register_tokenizer(_NAMES, names)
    return index


def unusable(index_dir: Path, why: str) -> IndexUnusable:
    """The error for an index that cannot be used."""
    return IndexUnusable(
        Problem(
            "index.unusable",
            "the full-text index in {folder} cannot be used: {why}",
            {"folder": str(index_dir), "why": why},
        )
    )
