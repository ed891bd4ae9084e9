"""What image decoders complain of: libjpeg, libpng and OpenCV write it on stderr, and return an image all the same.

Their lines are caught while an image is decoded, so that the image can be named and the lines do not drown ours.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")

STDERR = 2  # C libraries know no other: replacing `sys.stderr` does not reach them
_LINES = re.compile(
    rb"(?:Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|Invalid SOS parameters|Unknown Adobe color"
    rb"|libpng (?:error|warning)|\[ ?(?:FATAL|ERROR|WARN|INFO):\d)[^\n]*\n?"
)
# The image is as it was saved: only a tag or a profile beside it is odd.
_HARMLESS = re.compile(rb"Invalid SOS|Unknown Adobe|libpng warning|\[ ?(?:WARN|INFO)|[^\n]*TIFFVSetField")
_PLACE = re.compile(r"\[[^]]*\] global \S+ ")  # time, file and line of OpenCV's source


def listen(decode: Callable[[], Result]) -> tuple[Result, str]:
    """What `decode` returns, and the first complaint that says that the image is damaged; "" for none.

    Threads may decode at the same time. Where one of several is complained of, each decodes again alone: stderr does
    not say whose a line is.
    """
    heard = _Decoding()
    result = _EAR.run(decode, heard, alone=False)
    if heard.complaint and heard.beside_others:
        heard = _Decoding()
        result = _EAR.run(decode, heard, alone=True)
    return result, heard.complaint


class _Decoding:
    """One call of a decoder: what was heard meanwhile, and whether others ran at that time."""

    complaint, beside_others = "", False


class _Ear:
    """Stderr leads into a temporary file as long as any thread decodes; what is not a decoder's is passed on."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: list[_Decoding] = []
        self._alone, self._waiting_to_be_alone = False, 0
        self._file: int | None = None
        self._stderr: int | None = None  # the true one, while the file takes its place
        self._read = 0  # bytes of the file

    def run(self, decode: Callable[[], Result], heard: _Decoding, alone: bool) -> Result:
        """Call `decode` and note in `heard` what is complained of; `alone`: while no other thread decodes."""
        with self._changed:
            if alone:
                self._waiting_to_be_alone += 1
                self._changed.wait_for(lambda: not self._running)
                self._waiting_to_be_alone -= 1
            else:
                self._changed.wait_for(lambda: not self._alone and not self._waiting_to_be_alone)
            if not self._running:
                self._begin()
            self._alone = alone
            self._running.append(heard)
            for each in self._running if len(self._running) > 1 else ():
                each.beside_others = True
        try:
            return decode()
        finally:
            with self._changed:
                self._hear()
                self._running.remove(heard)
                self._alone = False
                if not self._running:
                    self._end()
                self._changed.notify_all()

    def _begin(self) -> None:
        try:
            self._file = _open_temporary() if self._file is None else self._file
            self._stderr = os.dup(STDERR)
            os.dup2(self._file, STDERR)
        except OSError:  # no stderr, or no room for temporary files: nothing is heard
            self._stderr = None

    def _hear(self) -> None:
        if self._file is None or self._stderr is None or os.fstat(self._file).st_size == self._read:
            return
        os.lseek(self._file, self._read, os.SEEK_SET)
        written = os.read(self._file, 1 << 20)
        self._read += len(written)
        os.write(self._stderr, _LINES.sub(b"", written))
        found = next((line for line in _LINES.findall(written) if not _HARMLESS.match(line)), b"")
        for each in self._running:
            each.complaint = each.complaint or _PLACE.sub("", found.decode(errors="replace").strip())

    def _end(self) -> None:
        if self._file is None or self._stderr is None:
            return
        os.dup2(self._stderr, STDERR)
        os.close(self._stderr)
        self._stderr = None
        os.ftruncate(self._file, 0)
        self._read = 0


def _open_temporary() -> int:
    """A file without a name that is appended to, wherever it was read last."""
    handle, name = tempfile.mkstemp()
    os.close(handle)
    opened = os.open(name, os.O_RDWR | os.O_APPEND | getattr(os, "O_TEMPORARY", 0))
    if not hasattr(os, "O_TEMPORARY"):  # on Windows it goes when it is closed
        os.unlink(name)  # noqa: PTH108 - beside os.open
    return opened


_EAR = _Ear()
