"""Reads the Prometheus text format as far as ringway writes it."""

import re

SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: #.*)?$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


class Metrics:
    """One scrape."""

    def __init__(self, text):
        self.text = text
        self.samples = []
        for line in text.splitlines():
            if line and not line.startswith("#"):
                match = SAMPLE.match(line)
                assert match, f"not a sample: {line!r}"
                name, labels, value = match.groups()
                self.samples.append((name, dict(LABEL.findall(labels or "")), float(value)))

    def __call__(self, name, **labels):
        """The sum of all samples of that name which have those labels; 0 if there is none."""
        return sum(
            value
            for sample, has, value in self.samples
            if sample == name and all(has.get(key) == wanted for key, wanted in labels.items())
        )

    def by(self, name, label):
        """Label value -> sample."""
        return {has[label]: value for sample, has, value in self.samples if sample == name}

    def names(self):
        return {name for name, _, _ in self.samples}
