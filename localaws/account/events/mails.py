"""E-mail of topics: subscriptions that wait for their owner, and what would have been sent.

Upstream an e-mail subscription is confirmed at once, and nothing keeps the messages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ministack.services import sns
from ministack.services.cloudformation import provisioners

from localaws.account.world import World
from localaws.reports import Mail

TYPE = "AWS::SNS::Subscription"
PROTOCOLS = ("email", "email-json")
_PENDING = "PendingConfirmation"


def install(world: World) -> None:
    """Replace ministack's functions."""
    plain_subscribe, plain_fanout = sns._subscribe, sns._fanout
    handler = provisioners._RESOURCE_HANDLERS[TYPE]
    plain_create = handler["create"]

    def subscribe(request: Any) -> Any:
        known = {row["arn"] for row in _subscriptions()}
        status, headers, body = plain_subscribe(request)
        for row in _subscriptions():
            if row["arn"] not in known and row["protocol"] in PROTOCOLS:
                _hold(row)
                body = body.replace(row["arn"].encode(), b"pending confirmation")
        return status, headers, body

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        made = plain_create(logical_id, properties, stack_name)
        for row in _subscriptions():
            if row["arn"] == made[0] and row["protocol"] in PROTOCOLS:
                _hold(row)
        return made

    def fanout(
        topic: str, message_id: str, message: str, subject: str, *rest: Any, **named: Any
    ) -> None:
        structure = rest[0] if rest else named.get("message_structure", "")
        for row in _subscriptions():
            if row["topic_arn"] == topic and row["confirmed"] and row["protocol"] in PROTOCOLS:
                text = sns._resolve_message_for_protocol(message, structure, row["protocol"])
                mail = Mail(world.clock(), topic, row["endpoint"], subject or "", text)
                world.mails.append(mail)
        plain_fanout(topic, message_id, message, subject, *rest, **named)

    sns._subscribe, sns._fanout = subscribe, fanout
    sns._list_subscriptions = _hiding(sns._list_subscriptions)
    sns._list_subscriptions_by_topic = _hiding(sns._list_subscriptions_by_topic)
    handler["create"] = create


def confirm(address: str) -> None:
    """Confirm the pending subscriptions of an address.

    Raises:
        ValueError: There is none.
    """
    pending = [row for row in _subscriptions() if row["endpoint"] == address]
    pending = [row for row in pending if not row["confirmed"]]
    if not pending:
        raise ValueError(f"confirm: no subscription of {address} is pending; see ListSubscriptions")
    for row in pending:
        row["confirmed"], row["token"] = True, None
        row["attributes"] |= {_PENDING: "false", "ConfirmationWasAuthenticated": "false"}
        sns._refresh_subscription_counts(sns._topics[row["topic_arn"]])


def _hiding(plain: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A list that shows no ARN of what is pending, as SNS does."""

    def listed(request: Any) -> Any:
        status, headers, body = plain(request)
        for row in _subscriptions():
            if not row["confirmed"]:
                body = body.replace(row["arn"].encode(), _PENDING.encode())
        return status, headers, body

    return listed


def _hold(row: dict[str, Any]) -> None:
    row["confirmed"] = False
    row["attributes"] |= {_PENDING: "true", "ConfirmationWasAuthenticated": "false"}
    sns._refresh_subscription_counts(sns._topics[row["topic_arn"]])


def _subscriptions() -> Iterator[dict[str, Any]]:
    for topic in list(sns._topics.values()):
        yield from list(topic["subscriptions"])
