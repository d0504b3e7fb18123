"""What is said to a client that is refused."""

from wit_world.imports import metrics
from wit_world.imports.types import Ending, Refusal

_refused = 0


def define() -> None:
    """Once, when the filter begins: whatever is wrong with the metric goes on to the operator."""
    global _refused
    _refused = metrics.define("tenants_refused_total", metrics.Kind.COUNTER, "Connections refused.")


def refusal(reason: str) -> Refusal:
    metrics.add(_refused, 1)
    return Refusal(Ending.GRACEFUL, reason, f"error: {reason}\n".encode())
