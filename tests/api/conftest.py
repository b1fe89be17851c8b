"""Fixtures: a fresh home for each test, or one server for the tests of a file that only ask."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import cloud as cloud_module  # noqa: E402


@pytest.fixture
def home(tmp_path):
    """A cloud that is not started yet."""
    c = cloud_module.Cloud(tmp_path)
    yield c
    if c.process:
        assert c.stop() == 0
        assert c.last_words     # it has stopped by itself, so it has replayed its journal
    if c.last_words:
        assert c.last_words.startswith("replay same "), c.last_words


@pytest.fixture
def cloud(home):
    """A running one, with defaults, nobody known to it."""
    home.start()
    return home


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One running server for a whole file."""
    c = cloud_module.Cloud(tmp_path_factory.mktemp("cloud"))
    c.start()
    yield c
    assert c.stop() == 0
    assert c.last_words.startswith("replay same "), c.last_words
    c.check()
