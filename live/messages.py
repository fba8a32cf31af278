"""Every message of the WebSocket, declared once: payloads are made and read by these types, and
the AsyncAPI document that clients get at /schema/messages is generated from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

MAX_BYTES = 16 * 1024
"""A longer message of a client ends its connection, with code 1009."""

Segment = Literal["PRE", "RTH", "POST"]
State = Literal["RePump", "FirstPump"]
SpreadSource = Literal["quoted", "estimated"]
Status = Literal["ok", "waiting", "degraded"]
Moment = Annotated[str, Meta(description="UTC, ISO 8601, with a Z", extra_json_schema=
                             {"format": "date-time"})]  # fmt: skip
Percent = Annotated[float | None, Meta(description="percent")]
Seq = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class Rules:
    """The rules in force: the row of marts.signal_rules. Ratios are plain fractions."""

    gap_min: float
    rvol_min: float
    spread_max: float
    cooldown_min: int
    base_range_max: float
    move_min: float


class SignalMessage(Struct):
    """A signal, the only message without a `type`. Fields may be added behind these."""

    t: Annotated[Moment, Meta(description="when it was sent first")]
    session: Segment
    symbol: str
    state: State
    price: Annotated[float, Meta(description="the bar's close, dollars")]
    vwap: Annotated[float | None, Meta(description="of the segment so far, dollars")]
    rvol_1m: Annotated[float | None, Meta(description="the minute's volume over its usual one")]
    base_range_pct: Percent
    spread_pct: Percent
    move_pct: Percent
    score: Annotated[float | None, Meta(description="null while no model is promoted")]
    thr: Annotated[float | None, Meta(description="the model's threshold")]
    rules_used: Rules
    seq: Annotated[int, Meta(ge=1, description="grows by one per signal, survives restarts")]
    bar_at: Annotated[Moment, Meta(description="start of the minute")]
    spread_source: SpreadSource | None
    model_run: str | None


class Gap(Struct, tag_field="type", tag="gap"):
    """The client read too slowly and missed signals of this range; they are sent next."""

    from_seq: Seq
    to_seq: Seq


class Provisional(Struct, tag_field="type", tag="provisional"):
    """The running minute passes the rules as its bar stands: `confirmed` or `retracted` follows.

    Sent where the var provisional_signals is on. What is sent of it is sent once and not resumed:
    who was away knows by the signals, as one of the same symbol and `bar_at` confirms it.
    """

    t: Moment
    session: Segment
    symbol: str
    state: State
    price: Annotated[float, Meta(description="the bar's close as it stands, dollars")]
    bar_at: Annotated[Moment, Meta(description="start of the minute")]


class Confirmed(Struct, tag_field="type", tag="confirmed"):
    """A provisional signal held: it became the signal `signal_seq`, which was sent before."""

    t: Moment
    session: Segment
    symbol: str
    state: Annotated[State, Meta(description="as it was raised; the signal has its own")]
    price: Annotated[float, Meta(description="the bar's close, dollars")]
    bar_at: Annotated[Moment, Meta(description="start of the minute")]
    signal_seq: Seq


class Retracted(Struct, tag_field="type", tag="retracted"):
    """A provisional signal did not hold: its bar closed without a signal, or never came."""

    t: Moment
    session: Segment
    symbol: str
    state: Annotated[State, Meta(description="as it was raised")]
    price: Annotated[float | None, Meta(description="the bar's close, dollars")]
    bar_at: Annotated[Moment, Meta(description="start of the minute")]


class Heartbeat(Struct, tag_field="type", tag="heartbeat"):
    """The service lives. All up to `last_seq` that was subscribed to has been sent: resume there.

    Without any for a few of its intervals, the service or the way to it is dead.
    """

    t: Moment
    last_seq: Seq
    status: Status


class Subscribed(Struct, tag_field="type", tag="subscribed"):
    """Answer to `subscribe`: what is sent from now on; null is all."""

    symbols: list[str] | None
    states: list[State] | None


class ErrorMessage(Struct, tag_field="type", tag="error"):
    """A message of the client was not understood; nothing has changed."""

    message: str


class Authenticate(Struct, tag_field="type", tag="auth", forbid_unknown_fields=True):
    """The first message where a token is needed and no header could carry it."""

    token: str


class Subscribe(Struct, tag_field="type", tag="subscribe", forbid_unknown_fields=True):
    """Take only these symbols and states from now on; null or left out is all."""

    symbols: list[str] | None = None
    states: list[State] | None = None


SENT = (
    SignalMessage,
    Provisional,
    Confirmed,
    Retracted,
    Gap,
    Heartbeat,
    Subscribed,
    ErrorMessage,
)
RECEIVED = (Authenticate, Subscribe)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Authenticate | Subscribe] = msgspec.json.Decoder(
    Authenticate | Subscribe
)


def to_text(message: Struct) -> str:
    """Return a message as JSON; what is no finite number is null."""
    return _encoder.encode(message).decode()


def parse(text: str) -> Authenticate | Subscribe:
    """Return what a client says. Raises ValueError, which says what is wrong with it."""
    return _decoder.decode(text)


def parse_interest(symbols: str | None, states: str | None) -> Subscribe:
    """Return what `subscribe` would say, from lists with commas between. Raises ValueError."""
    listed = {"symbols": symbols, "states": states}
    wanted = {name: text.split(",") for name, text in listed.items() if text is not None}
    return msgspec.convert({"type": "subscribe", **wanted}, Subscribe)


def describe_messages() -> dict[str, Any]:
    """Return the AsyncAPI 3 document of /ws."""
    _, schemas = msgspec.json.schema_components(
        [*SENT, *RECEIVED], ref_template="#/components/schemas/{name}"
    )
    names = [kind.__name__ for kind in (*SENT, *RECEIVED)]
    messages = {name: {"payload": {"$ref": f"#/components/schemas/{name}"}} for name in names}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "RePump live signals", "version": "1"},
        "channels": {
            "signals": {
                "address": "/ws",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            }
        },
        "operations": {
            "sent": _operation("send", SENT),
            "received": _operation("receive", RECEIVED),
        },
        "components": {"messages": messages, "schemas": schemas},
    }


def _operation(action: str, kinds: tuple[type[Struct], ...]) -> dict[str, Any]:
    channel = "#/channels/signals"
    messages = [{"$ref": f"{channel}/messages/{kind.__name__}"} for kind in kinds]
    return {"action": action, "channel": {"$ref": channel}, "messages": messages}
