"""Operators against plain models: any cut into steps, checkpoint and restore between any two."""
