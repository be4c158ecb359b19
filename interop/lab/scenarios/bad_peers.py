from __future__ import annotations


def scenarios(quick):
    return []
