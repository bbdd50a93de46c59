"""Sessions of the dashboards without a browser: what a server sees of people who watch a page.

Each speaks Streamlit's protocol as a browser tab does: it asks for the page, takes what is sent,
and asks for every live part again when that is due. What a tab does besides, to draw, is done on
other people's machines.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection
from websockets.typing import Subprotocol

_PATIENCE_SECONDS = 120


@dataclass
class Sessions:
    """What the sessions have been sent since each had its page.

    Attributes:
        runs: Runs of a page or of a live part of one that came to their end.
    """

    runs: int = 0


@contextmanager
def watching(port: int, host: str, count: int) -> Iterator[Sessions]:
    """Keep sessions open on the first page while the block runs.

    Args:
        port: The server's port.
        host: The server's host.
        count: How many sessions.

    Yields:
        What they have been sent; each has the whole page at the start of the block.

    Raises:
        TimeoutError: A session has not got its page within two minutes.
    """
    sessions = Sessions()
    address = f"ws://{host}:{port}/_stcore/stream"
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    ready = [threading.Event() for _ in range(count)]
    opened = [
        asyncio.run_coroutine_threadsafe(_watch(address, sessions, event), loop) for event in ready
    ]
    try:
        for event in ready:
            if not event.wait(_PATIENCE_SECONDS):
                raise TimeoutError("A session has not got its page.")
        sessions.runs = 0
        yield sessions
        for session in opened:
            if session.done():
                session.result()
    finally:
        asyncio.run_coroutine_threadsafe(_leave(), loop).result(_PATIENCE_SECONDS)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_PATIENCE_SECONDS)


async def _leave() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def _watch(address: str, sessions: Sessions, ready: threading.Event) -> None:
    async with websockets.connect(
        address, subprotocols=[Subprotocol("streamlit")], max_size=None
    ) as connection:
        await _ask(connection)
        due: dict[str, asyncio.Task[None]] = {}
        try:
            async for data in connection:
                assert isinstance(data, bytes)
                message = ForwardMsg.FromString(data)
                if message.HasField("auto_rerun"):
                    part = message.auto_rerun.fragment_id
                    if part not in due:
                        due[part] = asyncio.create_task(
                            _again(connection, message.auto_rerun.interval, part)
                        )
                elif message.HasField("script_finished"):
                    sessions.runs += 1
                    ready.set()
        finally:
            for task in due.values():
                task.cancel()


async def _again(connection: ClientConnection, seconds: float, fragment_id: str) -> None:
    with suppress(websockets.ConnectionClosed):
        while True:
            await asyncio.sleep(seconds)
            await _ask(connection, fragment_id)


async def _ask(connection: ClientConnection, fragment_id: str = "") -> None:
    asked = BackMsg()
    asked.rerun_script.fragment_id = fragment_id
    asked.rerun_script.is_auto_rerun = bool(fragment_id)
    asked.rerun_script.context_info.timezone = "UTC"
    asked.rerun_script.context_info.locale = "en-US"
    await connection.send(asked.SerializeToString())
