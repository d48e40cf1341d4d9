"""Estimates of a run's memory, fit and time before it begins, for a machine that need not be here: see plan.py."""
