"""Watches the lines of one connection."""

from refusals import refusal
from wit_world.exports import inspector
from wit_world.exports.inspector import Verdict, Verdict_Detach, Verdict_Forward, Verdict_Hold, Verdict_Refuse
from wit_world.imports import connection, log
from wit_world.imports.types import Attribute, Direction, Directions, Value_Address, Value_Integer


class Session(inspector.Session):
    def __init__(self) -> None:
        self.lines = 0
        # The beginning of a line whose end has not come; forwarded already.
        self.begun = b""

    def interest(self) -> Directions:
        return Directions.UP

    def on_bytes(self, direction: Direction, bytes: bytes, finished: bool) -> Verdict:
        *whole, rest = (self.begun + bytes).split(b"\n")
        for number, line in enumerate(whole, 1):
            if b"FORBIDDEN" in line:
                return Verdict_Refuse(refusal("a forbidden line"))
            if line == b"done":
                self.count(number)
                self.tell()
                return Verdict_Detach()
        if b"FORBIDDEN" in rest:
            return Verdict_Refuse(refusal("a forbidden line"))
        # What is held is shown again, from its beginning. Behind a whole line there is no holding the rest alone.
        if not whole and not finished:
            return Verdict_Hold(1)
        self.begun = rest
        self.count(len(whole))
        if finished:
            self.tell()
        return Verdict_Forward()

    def count(self, lines: int) -> None:
        self.lines += lines
        connection.annotate("lines", Value_Integer(self.lines))

    def tell(self) -> None:
        fields = [Attribute("lines", Value_Integer(self.lines))]
        # None on a unix socket.
        if client := connection.client():
            fields.append(Attribute("from", Value_Address(client)))
        log.emit(log.Level.INFO, "the client has said what it wants", fields)
