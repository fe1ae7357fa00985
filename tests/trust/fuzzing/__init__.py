"""Fuzzing of everything that reads a file, with honest files to start from.

``PYTHONPATH=tests/trust python -m fuzzing --seconds 600`` goes on for longer than the tests do.
"""
