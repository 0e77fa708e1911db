"""Text that strangers wrote, made fit for a terminal, a log line or a page.

A line feed forges a line, ESC colours or erases what stands there, a bidirectional mark turns it
round: whatever is not printable is shown as an escape.
"""

MOST = 200


def printable(text: object, most: int = MOST) -> str:
    r"""One line of printable text, of at most ``most`` characters.

    >>> printable("CN=pump\n2026 all is well\x1b[2K")
    'CN=pump\\n2026 all is well\\x1b[2K'
    >>> printable("泵") + printable("a" * 9, most=5)
    '泵aaaa…'
    """
    shown = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
        for c in str(text)[: most + 1]
    )
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
