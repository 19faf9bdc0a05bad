"""One knob: how it is turned and what is counted."""

import dataclasses
import typing


@dataclasses.dataclass
class Knob:
    name: str
    how: str
    settings: tuple
    # A setting to figures by their names.
    measure: typing.Callable
    # Changes what every process of the host goes by.
    host_wide: bool = False


def collector():
    """A module's knobs, and the decorator that makes one of a function; the function's docstring says how it measures."""
    knobs = []

    def knob(name, *settings, host_wide=False):
        def made(function):
            knobs.append(Knob(name, function.__doc__.split("\n")[0], settings, function, host_wide))
            return function

        return made

    return knobs, knob
