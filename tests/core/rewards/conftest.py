"""What all tests of rewards share."""

import pytest

from prefalign.testing.tiny import save_tokenizer


@pytest.fixture(scope="package")
def tokenizer(tmp_path_factory):
    """Folder of the character tokenizer."""
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))
