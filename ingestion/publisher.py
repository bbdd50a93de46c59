"""Publishing to the orders topic, many messages a call."""

from collections.abc import Iterable, Mapping
from typing import Any

from pbm.errors import InputError, ServiceError

# Pub/Sub takes 1,000 messages and 10 MB in one call.
_MESSAGES_PER_CALL = 1000
_BYTES_PER_CALL = 5_000_000


class OrdersPublisher:
    """Publishes to one topic; every call returns when Pub/Sub has all its messages.

    Args:
        topic: Full resource name.
    """

    def __init__(self, topic: str) -> None:
        from google.cloud import pubsub_v1

        self._topic = topic
        self._client = pubsub_v1.PublisherClient()

    def publish(self, messages: Iterable[tuple[bytes, Mapping[str, str]]]) -> list[str]:
        """Publish ``(data, attributes)`` in order.

        Returns:
            The message ids, in the same order.

        Raises:
            ServiceError: Pub/Sub does not answer, or the topic is missing.
            InputError: Pub/Sub does not take one of the messages, such as one over 10 MB; no
                message of that call was published.
        """
        message_ids: list[str] = []
        call: list[dict[str, Any]] = []
        size = 0
        for data, attributes in messages:
            if call and (len(call) == _MESSAGES_PER_CALL or size + len(data) > _BYTES_PER_CALL):
                message_ids += self._call(call)
                call, size = [], 0
            call.append({"data": data, "attributes": dict(attributes)})
            size += len(data)
        if call:
            message_ids += self._call(call)
        return message_ids

    def _call(self, messages: list[dict[str, Any]]) -> list[str]:
        from google.api_core import exceptions
        from google.pubsub_v1 import PublisherClient

        try:
            # the plain call: the client's own queue and threads are for messages one at a time
            answer = PublisherClient.publish(
                self._client,
                request={"topic": self._topic, "messages": messages},
                timeout=30,
                retry=None,
            )
        except exceptions.NotFound as error:
            raise ServiceError(
                f"Pub/Sub has no {self._topic}.",
                "Run `pbm up`: it creates the topic and the subscription.",
            ) from error
        except (exceptions.InvalidArgument, exceptions.ResourceExhausted) as error:
            raise InputError(
                f"Pub/Sub does not take a message for {self._topic}: {type(error).__name__}.",
                "A message may hold 10 MB, and must hold data or attributes.",
            ) from error
        except exceptions.GoogleAPICallError as error:
            raise ServiceError(
                f"Pub/Sub does not take messages for {self._topic}: {type(error).__name__}.",
                "See `pbm status`; start the emulator with `pbm up`. Publishing the same orders "
                "again is safe: an event counts once.",
            ) from error
        return list(answer.message_ids)
