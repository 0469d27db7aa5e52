"""The recipe of the small language model that turns words into emotions."""

__all__ = ["STUDENT_FOLDER"]

STUDENT_FOLDER = "student"
"""Inside the folder that the stage trains in: what is served."""
