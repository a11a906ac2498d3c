"""A small pack that a test can write and break."""

from collections.abc import Callable
from pathlib import Path

import pytest

CATALOGUE = """
jurisdiction: test
version: '1'
language: zh
traits:
  hint: {name: 暗示, definition: 暗示}
labels:
  - {id: guaranteed_return, name: 业绩保证, definition: 承诺收益, severity: critical, traits: [hint],
     typical: [保本, 稳赚, 兜底], exemptions: [否定], basis: ['LAW:1']}
"""
LEGAL = """
instruments:
  LAW: {title: 某办法, issuer: 某会, articles: {'1': {says: 不得承诺, mark: A}, '2(三)': {says: 不得预测, mark: B}}}
"""
GUARDS = """
guards:
  negation:
    description: 否定
    before: ['(?:不|没有|不能承诺)']
    never: ['不用担心']
    within: 4
"""
RULE = """
id: principal-is-safe
label: guaranteed_return
any:
  - term: 保本
basis: ['LAW:1']
reason: 承诺本金安全。
examples:
  flagged: [这款保本, 保*本的]
  allowed: [我们不保本, 今天天气好]
"""

WritePack = Callable[..., Path]


@pytest.fixture
def write_pack(tmp_path: Path) -> WritePack:
    """Writes a valid pack; keyword `files` replaces or adds files by path."""

    def write(files: dict[str, str] | None = None) -> Path:
        everything = {
            "catalogue.yaml": CATALOGUE,
            "legal.yaml": LEGAL,
            "guards.yaml": GUARDS,
            "lexicons/certainty.yaml": "description: 确定\nwords: [肯定, 一定]\n",
            "rules/principal-is-safe.yaml": RULE,
            **(files or {}),
        }
        root = tmp_path / "pack"
        for name, text in everything.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, "utf-8")
        return root

    return write
