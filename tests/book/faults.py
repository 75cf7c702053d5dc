"""Sections that do not run to their end with any environment of ours, and why."""

KNOWN: dict[tuple[str, str], str] = {}
"""Faults of the book itself, by framework and page."""
NEED_REAL_DATA = {
    "chapter_appendix-mathematics-for-deep-learning/geometry-linear-algebraic-ops": (
        "all of FashionMNIST: it counts on 2,000 test images of two kinds"
    ),
}
"""By page."""
