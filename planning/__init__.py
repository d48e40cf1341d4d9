"""Before a run begins: what it needs, on a machine that need not be here. plan.py prints it."""
