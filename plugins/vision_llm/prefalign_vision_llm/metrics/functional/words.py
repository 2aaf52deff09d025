"""Captions to words: Treebank tokens and English singulars, both rule-based, so that no corpus has to be downloaded."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nltk.tokenize.destructive import NLTKWordTokenizer

# The tokeniser detaches a full stop only at the very end of its input and every other mark anywhere. So sentences are
# cut after a full stop, which at most two closing marks may follow, and before white space.
_SENTENCE_GAP = re.compile(r"""(?: (?<=\.) | (?<=\.["'”’»)\]}]) | (?<=\.["'”’»)\]}]["'”’»)\]}]) ) \s+""", re.VERBOSE)


@cache
def _tokenizer() -> NLTKWordTokenizer:
    # Imported late: nltk takes two seconds, which `--help` and an early error should not cost.
    from nltk.tokenize.destructive import NLTKWordTokenizer

    return NLTKWordTokenizer()


def caption_words(caption: str) -> list[str]:
    """Split a caption into lower-cased words and punctuation marks, in order.

    The rules are those of `nltk.word_tokenize` (Penn Treebank, typographic quotes and dashes included) behind our own
    cut into sentences, since the one of nltk needs downloaded data. A word with an inner hyphen, slash or full stop
    stays whole.
    """
    tokenizer = _tokenizer()
    return [word for sentence in _SENTENCE_GAP.split(caption.lower()) for word in tokenizer.tokenize(sentence)]


@lru_cache(maxsize=65_536)
def singular(word: str) -> str:
    """Return the singular of a lower-cased word by the rules of the pattern library, the ones CHAIR is published with.

    The rules strip a final s that belongs to the word (`bus` gives `bu`, `glass` gives `glas`) and miss a few plurals
    (`ties` gives `ty`); `ObjectVocabulary` says which of its readings lives with that.
    """
    from textblob.inflect import singularize

    # Only a word that ends in a letter can be a plural; the library recurses once per final apostrophe, without bound.
    return singularize(word) if word and word[-1].isalpha() else word
