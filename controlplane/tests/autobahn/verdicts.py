"""What the Autobahn fuzzing client found: sums it up, and keeps it or compares it with what is committed.

verdicts.py keep|check|show VERDICTS REPORTS...    exits with 1 if a case does not pass, or is not as committed
"""

import json
import sys
from collections import Counter
from pathlib import Path

PASSED = {"OK", "INFORMATIONAL"}


def place(case):
    return [int(number) for number in case.split(".")]


def read(reports):
    """Case -> verdict, from the index of each folder; `OK`, or `OK, close FAILED`."""
    found = {}
    for folder in reports:
        (agent,) = json.loads((Path(folder) / "index.json").read_text()).values()
        for case, told in agent.items():
            behaviour, close = told["behavior"], told["behaviorClose"]
            found[case] = behaviour if close == behaviour else f"{behaviour}, close {close}"
    return dict(sorted(found.items(), key=lambda entry: place(entry[0])))


def passed(verdict):
    return all(word in PASSED for word in verdict.split(", close "))


def summary(found):
    groups = {}
    for case, verdict in found.items():
        groups.setdefault(place(case)[0], Counter())[verdict] += 1
    for group, verdicts in groups.items():
        yield f"{group:>3}  {sum(verdicts.values()):>3} cases: " + ", ".join(f"{n} {verdict}" for verdict, n in verdicts.items())
    yield from (f"does not pass: {case} {verdict}" for case, verdict in found.items() if not passed(verdict))
    good = sum(map(passed, found.values()))
    yield f"{good} passed, {len(found) - good} failed"


def main(task, file, *reports):
    found, file = read(reports), Path(file)
    told = list(summary(found))
    faults = not found or not all(map(passed, found.values()))
    if task == "keep":
        file.write_text(json.dumps(found, indent=0, separators=(",", ":")) + "\n")
    elif task == "check":
        committed = json.loads(file.read_text())
        changed = [f"{case}: {verdict}, committed: {committed.get(case)}" for case, verdict in found.items() if verdict != committed.get(case)]
        told[-1:-1] = changed
        faults = faults or bool(changed)
    print("\n".join(told))
    return int(faults)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
