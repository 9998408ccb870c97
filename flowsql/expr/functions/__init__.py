"""Scalar functions and operators, one module a family; `catalogue.py` is the table of all."""
