"""Formats of structures that are written, and the endings of their names."""

XSF, EXTXYZ = "xsf", "extxyz"
XYZ_ENDINGS = (".xyz", ".extxyz")
