"""Sends each tenant to an upstream of its own, and watches what is asked of it, line by line.

The client's first line is "tenant NAME". A line that contains FORBIDDEN ends the connection before the server has the
whole word; after the line "done" nothing more is looked at. The watching is in inspector.py: componentize-py
looks for an exported resource in a module that has the name of its interface.
"""

import re

from componentize_py_types import Err
from refusals import define, refusal
from wit_world import exports
from wit_world.exports.router import Choice, Decision, Decision_Need, Decision_Pass, Decision_Refuse, Decision_Route, Window
from wit_world.imports.types import Attribute, Value_Integer


class Lifecycle(exports.Lifecycle):
    def config_schema(self) -> str:
        return ""  # There is nothing to configure.

    def init(self, config: str) -> None:
        if config != "null":
            raise Err("it takes no configuration")
        define()


class Router(exports.Router):
    def route(self, seen: Window) -> Decision:
        line, newline, _ = seen.bytes.partition(b"\n")
        last = seen.finished or seen.timed_out or seen.full
        if not line.startswith(b"tenant "[: len(seen.bytes)]) or (not newline and last):
            return Decision_Pass()
        if not newline:
            return Decision_Need(1)
        name = line.removeprefix(b"tenant ")
        if not re.fullmatch(rb"[a-z]+", name):
            return Decision_Refuse(refusal("no such tenant"))
        patience = Attribute("idle-timeout-ms", Value_Integer(60_000))
        return Decision_Route(Choice(name.decode(), [patience]))
