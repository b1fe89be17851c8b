"""Fixtures: the program in a fresh home, for each test or once for the tests of a file that only ask."""
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import program as program_module  # noqa: E402


@pytest.fixture
def program(tmp_path):
    return program_module.Program(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return program_module.Program(tmp_path_factory.mktemp("home"))
