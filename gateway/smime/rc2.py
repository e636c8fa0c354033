"""RC2-CBC (RFC 2268), for reading mail of the nineties where a person asks for it. Pure.

The library knows it with 128 bits only; what was exported then had 40 or 64. It is slow, and its
time depends on the key: both are borne for old evidence, which nobody sends twice to listen.
"""

from __future__ import annotations

import struct

BLOCK = 8

# PITABLE, RFC 2268 §2
_PI = bytes.fromhex(
    "d978f9c419ddb5ed28e9fd794aa0d89dc67e37832b76538e624c6488448bfba2"
    "179a59f587b34f1361456d8d09817d32bd8f40eb86b77b0bf09521225c6b4e82"
    "54d66593ce60b21c7356c014a78cf1dc1275ca1f3bbee4d1423dd430a33cb626"
    "6fbf0eda4669075727f21d9bbc944303f811c7f690ef3ee706c3d52fc8661ed7"
    "08e8eade8052eef784aa72ac354d6a2a961ad2715a1549744b9fd05e0418a4ec"
    "c2e0416e0f51cbcc2491af50a1f47039997c3a8523b8b47afc02365b25559731"
    "2d5dfa98e38a92ae05df2910676cbac9d300e6cfe19ea82c6316013f58e289a9"
    "0d38341bab33ffb0bb480c5fb9b1cd2ec5f3db47e5a59c770aa62068fe7fc1ad"
)
_TURNS = (1, 2, 3, 5)


def decrypt_cbc(key: bytes, bits: int, iv: bytes, data: bytes) -> bytes:
    """Whole blocks, decrypted. bits: effective key bits, 1 to 1024 (RFC 2268 §2).

    Raises ValueError for anything else than whole blocks and an IV of one.
    """
    if len(data) % BLOCK or len(iv) != BLOCK:
        raise ValueError("RC2-CBC takes whole blocks")
    words = _expand(key, bits)
    out = bytearray()
    before = struct.unpack("<4H", iv)
    for block in struct.iter_unpack("<4H", data):
        plain = _decrypt(words, list(block))
        out += struct.pack("<4H", *(one ^ other for one, other in zip(plain, before, strict=True)))
        before = block
    return bytes(out)


def _expand(key: bytes, bits: int) -> tuple[int, ...]:
    """Key expansion (§2)."""
    buffer = bytearray(key) + bytearray(128 - len(key))
    for at in range(len(key), 128):
        buffer[at] = _PI[(buffer[at - 1] + buffer[at - len(key)]) & 0xFF]
    size = (bits + 7) // 8
    mask = 0xFF >> (8 * size - bits)
    buffer[128 - size] = _PI[buffer[128 - size] & mask]
    for at in reversed(range(128 - size)):
        buffer[at] = _PI[buffer[at + 1] ^ buffer[at + size]]
    return struct.unpack("<64H", buffer)


def _decrypt(words: tuple[int, ...], block: list[int]) -> list[int]:
    """Decryption of one block (§4): mixing rounds backwards, and two of mashing between them."""
    at = 63
    for rounds in (5, 6, 5):
        for _ in range(rounds):
            for place in (3, 2, 1, 0):
                turn = _TURNS[place]
                value = block[place]
                value = (value >> turn | value << (16 - turn)) & 0xFFFF
                one, two, three = block[place - 1], block[place - 2], block[place - 3]
                block[place] = (value - words[at] - (one & two) - (~one & three)) & 0xFFFF
                at -= 1
        if at >= 0:
            for place in (3, 2, 1, 0):
                block[place] = (block[place] - words[block[place - 1] & 63]) & 0xFFFF
    return block
