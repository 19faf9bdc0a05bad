"""The dashboard of the real binary, driven in headless Chromium: its tests are in dashboard_*.e2e.mjs."""

import pytest

from javascript import node_tests


@pytest.mark.parametrize("part", ["live", "acts", "looks"])
def test_the_dashboard_in_chromium(part):
    node_tests(f"dashboard_{part}.e2e.mjs")
