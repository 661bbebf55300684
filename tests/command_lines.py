"""Commands as help texts and pages print them, for tests that hand them to the parsers."""

from __future__ import annotations

import re
import shlex


def command_lines(text: str) -> list[tuple[str, list[str]]]:
    """The lines of `text` that call `efficienttrain`: the sub-command of each, and its words without a remark.

    `...` stands for the words of the first line that has the same sub-command.
    """
    found: list[tuple[str, list[str]]] = []
    joined = re.sub(r"\\\n *", " ", re.sub(r"\$\w+", "0", text))
    for line in re.findall(r"^(?: *|\$ |.* -m )efficienttrain (.*)", joined, re.MULTILINE):
        name, *words = shlex.split(re.split(r"(?<=\S)   +(?=[^\s-])", line)[0], comments=True)
        if "..." in words:
            first = next((given for known, given in found if known == name), [])
            place = words.index("...")
            words[place : place + 1] = first
        found.append((name, words))
    return found
