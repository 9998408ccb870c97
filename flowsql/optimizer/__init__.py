"""Rules that make a bound plan cheaper and keep its meaning."""

from __future__ import annotations

from flowsql.optimizer.optimize import RULES, Rule, optimize

__all__ = ["RULES", "Rule", "optimize"]
