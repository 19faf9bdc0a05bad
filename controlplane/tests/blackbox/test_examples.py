"""docs/examples in headless Chromium, the component compiled as a build of Vue's would: see examples.e2e.mjs."""

from javascript import EXAMPLES, node_tests


def test_the_examples_show_live_figures():
    node_tests("examples.e2e.mjs", TEST_EXAMPLES=str(EXAMPLES))
