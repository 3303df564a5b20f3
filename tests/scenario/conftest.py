from __future__ import annotations

import pytest

from tests.fakes.portal import FakePortal


@pytest.fixture
def portal() -> FakePortal:
    return FakePortal()
