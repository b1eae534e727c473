"""Scalars as TensorBoard reads them: length-framed protobuf messages, written by hand.

    record   length u64 | masked crc32c of length u32 | message | masked crc32c of message u32
    message  Event {1: wall_time f64, 2: step i64, 3: file_version | 5: summary | 7: session_log}

Forty lines in place of a library, because those that write this format import PyTorch or TensorFlow
where they find them, and training must not.

Source: tensorflow/core/util/event.proto, framework/summary.proto, lib/io/record_writer.cc.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

_MASK_DELTA = 0xA282EAD8
_POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed


class ScalarWriter:
    """Appends scalars to a new event file of a directory. Use as a context manager."""

    def __init__(self, directory: Path) -> None:
        """Makes the directory and a file in it that sorts after older ones.

        Raises:
          OSError: it cannot be written.
        """
        directory.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 1000}.{os.getpid()}"
        self._file = (directory / name).open("xb", buffering=0)
        self._begun = False
        self._append(_text(3, "brain.Event:2"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends one event; the first tells TensorBoard to forget what a killed run wrote after.

        Args:
          step: not negative.
          values: tag -> number; shown as float32.

        Raises:
          OSError: the disk is full.
        """
        at = _number(2, step)
        if not self._begun:
            self._begun = True
            self._append(at + _message(7, _number(1, 1)))  # SessionLog.START
        pairs = [(_text(1, tag), _float(2, value)) for tag, value in values.items()]
        self._append(at + _message(5, b"".join(_message(1, tag + value) for tag, value in pairs)))

    def close(self) -> None:
        """Closes the file; every event is already in it."""
        self._file.close()

    def _append(self, body: bytes) -> None:
        message = struct.pack("<Bd", 1 << 3 | 1, time.time()) + body
        length = struct.pack("<Q", len(message))
        record = length + _checksum(length) + message + _checksum(message)
        while record:  # a nearly full disk takes a part, and says so only the next time
            record = record[self._file.write(record) :]


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())


def _message(field: int, body: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(body)) + body


def _varint(value: int) -> bytes:
    """Seven bits a byte, lowest first; the top bit says that more follow."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _checksum(data: bytes) -> bytes:
    """CRC-32C, rotated and shifted so that a checksum of checksums is not degenerate."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    rotated = (crc >> 15 | crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + _MASK_DELTA) & 0xFFFFFFFF)


def _table() -> list[int]:
    """The CRC of every single byte."""
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()
