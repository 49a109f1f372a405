"""A daemon without a file system: speaks the protocol from a plain loop, and misbehaves to order.

Started by spawn_daemon() as ``python -m fake_daemon``. Option ``start`` says how it starts,
``unmount`` how it answers an unmount.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from typing import Any

from wimtui.control.bulk import BulkFolder
from wimtui.control.errors import MessageError
from wimtui.control.handshake import Startup
from wimtui.control.outbox import Outboxes
from wimtui.control.protocol import (
    DaemonState,
    EndedEvent,
    ErrorReply,
    Extension,
    Hello,
    OkReply,
    Outcome,
    ProgressEvent,
    Reply,
    Request,
    StateEvent,
    Status,
    StatusReply,
    Subscribe,
    Unmount,
    Unsubscribe,
)
from wimtui.control.registry_entry import RegistryEntry, RegistryFile, new_mount_id
from wimtui.control.transport import ReceiveQueue
from wimtui.control.wire import decode


class FakeDaemon:
    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        entry = RegistryEntry.for_this_process(
            options.get("mount_id") or new_mount_id(),
            "/images/install.wim",
            options.get("mount_point", "/nowhere"),
        )
        self.file = RegistryFile.create(entry)
        self.file.update(mode=options.get("mode", "rw"), device=options.get("device", ""))
        self.queue = ReceiveQueue.create(entry.queue_name)
        self.bulk = BulkFolder(self.file.bulk_folder)
        self.outboxes = Outboxes()
        self.running = True

    def serve(self) -> None:
        self.file.update(state=DaemonState.OK)
        poll = select.poll()
        poll.register(self.queue.fileno(), select.POLLIN)
        while self.running or any(box.wants_write for box in self.outboxes):
            poll.poll(20)
            self.outboxes.flush()
            while (message := self.queue.receive_nowait()) is not None:
                self.take(message)

    def close(self) -> None:
        self.outboxes.close()
        self.queue.close()
        self.bulk.close()
        self.file.remove()

    def take(self, message: bytes) -> None:
        try:
            envelope = decode(message)
        except MessageError as error:
            if (box := self.outboxes.open(error.reply_to)) is not None:
                box.put(ErrorReply(code=error.code, text=error.message, name="version"))
            return
        box = self.outboxes.open(envelope.reply_to)
        assert box is not None
        assert isinstance(envelope.message, Request)
        reply = self.answer(envelope.message, envelope.reply_to)
        if reply is None:
            return
        box.put(self.bulk.fit(reply), envelope.request_id)
        if isinstance(envelope.message, Unmount) and isinstance(reply, OkReply):
            self.unmount(envelope.reply_to, envelope.request_id)

    def answer(self, request: Request, reply_to: str) -> Reply | None:
        match request:
            case Hello():
                return OkReply(data={"mount_id": self.file.entry.mount_id, "pid": os.getpid()})
            case Status():
                long = self.options.get("long_paths", 0)
                return StatusReply(
                    state=DaemonState.OK,
                    wim_path="/é" * (long // 2),
                    mount_point="/m" * (long // 2),
                )
            case Subscribe():
                box = self.outboxes.open(reply_to)
                assert box is not None
                box.subscribed = True
                return OkReply()
            case Unsubscribe():
                return OkReply()
            case Extension(name="mute"):
                return None
            case Extension(name="die"):
                os.kill(os.getpid(), signal.SIGKILL)
            case Extension(name="bulk", data=data):
                path = str(data.get("path", "")) or self.bulk.store(b"x" * 100_000)
                return OkReply(bulk_path=path)
            case Extension(name="chatter", data=data):
                for number in range(int(str(data["events"]))):
                    self.outboxes.broadcast(ProgressEvent(phase="write", bytes_done=number))
                self.outboxes.broadcast(StateEvent(state=DaemonState.OK, changes=1))
                return OkReply()
            case Unmount():
                if self.options.get("unmount") == "busy":
                    return ErrorReply(code=79, text="files are open", name="busy")
                return OkReply()
        return ErrorReply(code=106, text="unknown", name="version")

    def unmount(self, requester: str, request_id: int) -> None:
        def tell(event: ProgressEvent | EndedEvent) -> None:
            self.outboxes.broadcast(event, requester=requester, request_id=request_id)

        how = self.options.get("unmount", "")
        tell(ProgressEvent(operation="unmount", phase="write", path="/w" * 2048))
        if how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "fail":
            tell(EndedEvent("unmount", Outcome.FAILED, code=72, text="the disk is full"))
            return
        tell(EndedEvent(operation="unmount"))
        if how != "stay":
            self.running = False


def main() -> None:
    startup = Startup.from_arguments()
    options = dict(startup.options)
    start = options.get("start", "ready")
    if start == "crash":
        print("a traceback would be here", file=sys.stderr)
        sys.exit(3)
    if start == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if start == "error":
        startup.failed(18, "no image 7", hint="there are 3")
        sys.exit(18)
    if start == "silent":
        startup.progress(str(os.getpid()))
        signal.pause()
    if start == "rubbish":
        os.write(int(sys.argv[sys.argv.index("--report-fd") + 1]), b"what?\n")
        signal.pause()
    if start == "facts":
        facts = [os.getcwd(), str(os.getsid(0) == os.getpid()), os.readlink("/proc/self/fd/0")]  # noqa: PTH109
        facts.append(os.readlink("/proc/self/fd/1"))
        startup.progress("facts " + "|".join(facts))
    if start == "progress":
        for number in range(3):
            startup.progress("verify", number, 3)
    daemon = FakeDaemon(options)
    try:
        startup.ready(daemon.file.entry.mount_id)
        daemon.serve()
    finally:
        daemon.close()


if __name__ == "__main__":
    main()
