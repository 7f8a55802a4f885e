"""Damage painted into pictures that are there: photographs, and backgrounds drawn before."""
