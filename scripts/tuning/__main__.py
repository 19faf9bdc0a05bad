"""Turns knobs and counts. `scripts/bench_tuning.sh` starts this where it may."""

import argparse
import signal
import statistics
import sys

import knobs_cpu
import knobs_limits
import knobs_network
from host import prepare_namespace

KNOBS = {knob.name: knob for module in (knobs_network, knobs_limits, knobs_cpu) for knob in module.KNOBS}


def told(values):
    """The median, and how far they lie apart."""
    if isinstance(values[0], str):
        return " / ".join(sorted(set(values)))
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:g}" if least == most else f"{middle:g} ({least:g}-{most:g})"


def measure(knob, rounds):
    figures = {setting: [] for setting in knob.settings}
    for number in range(rounds):
        for setting in knob.settings:
            print(f"{knob.name}: {setting}, round {number + 1}", file=sys.stderr)
            figures[setting].append(knob.measure(setting))
    for setting, results in figures.items():
        cells = [told([result[name] for result in results]) for name in results[0]]
        if setting == knob.settings[0]:
            print(f"\n| {knob.name} | " + " | ".join(results[0]) + " |")
            print("| --- " * (len(cells) + 1) + "|")
        print(f"| {setting} | " + " | ".join(cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench_tuning.sh")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--list", action="store_true", help="what there is to measure, and no more")
    parser.add_argument("knob", nargs="*", choices=[[], *KNOBS], metavar="KNOB", help="default: all")
    arguments = parser.parse_args()
    if arguments.list:
        for knob in KNOBS.values():
            print(f"{knob.name:24}{'the whole host, ' if knob.host_wide else ''}{knob.how}")
        return
    # What is turned is turned back: a signal unwinds as an error does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    prepare_namespace()
    for name in arguments.knob or KNOBS:
        measure(KNOBS[name], arguments.rounds)


main()
