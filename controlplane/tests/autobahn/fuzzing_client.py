"""Runs the Autobahn fuzzing client under Python 2.7: fuzzing_client.py PACKAGES SPEC."""

import site
import sys

# Not PYTHONPATH: namespace packages among them come by .pth files.
site.addsitedir(sys.argv[1])
sys.argv = ["wstest", "--mode", "fuzzingclient", "--spec", sys.argv[2]]

from autobahntestsuite.wstest import run  # noqa: E402

run()
