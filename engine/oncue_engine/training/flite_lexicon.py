"""Asks Debian's flite how it pronounces words, through its C libraries (training only; `apt install flite`).

The teachers of the embedded model are flite's voices: a front end that says words as they do is what it must match.
"""

from __future__ import annotations

import ctypes
import re
import subprocess

from oncue_engine.frontend.phones import PHONES

__all__ = ["FliteLexicon", "spoken_phones"]

_PAUSES = ("pau", "ssil")


class FliteLexicon:
    """flite's US English dictionary, with its letter-to-sound rules behind it.

    Raises OSError when flite's libraries (2.x) are not installed.
    """

    def __init__(self) -> None:
        self._flite = ctypes.CDLL("libflite.so.1", mode=ctypes.RTLD_GLOBAL)
        lexicon = ctypes.CDLL("libflite_cmulex.so.1", mode=ctypes.RTLD_GLOBAL)
        lexicon.cmu_lex_init.restype = ctypes.c_void_p
        pointer = ctypes.c_void_p
        self._flite.lex_lookup.restype = pointer
        self._flite.lex_lookup.argtypes = [pointer, ctypes.c_char_p, ctypes.c_char_p, pointer]
        for name, result in (("val_car", pointer), ("val_cdr", pointer), ("val_string", ctypes.c_char_p)):
            function = getattr(self._flite, name)
            function.restype = result
            function.argtypes = [pointer]
        self._flite.flite_init()
        self._lexicon = lexicon.cmu_lex_init()

    def phones(self, word: str, part_of_speech: str) -> tuple[str, ...]:
        """Phones of a lower-case word; `part_of_speech` is `n` (also the default reading) or `v`."""
        item = self._flite.lex_lookup(self._lexicon, word.encode(), part_of_speech.encode(), None)
        phones = []
        while item:
            name = self._flite.val_string(self._flite.val_car(item)).decode().rstrip("0123456789")
            if name in PHONES:
                phones.append(name)
            item = self._flite.val_cdr(item)
        return tuple(phones)


def spoken_phones(text: str) -> tuple[str, ...]:
    """What flite says for a running text, pauses left out (the `flite` command, its fastest voice)."""
    command = ["flite", "-voice", "kal16", "-ps", "-t", text, "none"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return tuple(phone for phone in re.split(r"\s+", printed.strip()) if phone and phone not in _PAUSES)
