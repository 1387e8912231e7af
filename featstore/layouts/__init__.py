"""Layouts: what folders, file names and the lists beside them say of classes and parts; known data sets as unzipped.

May import `errors`, `system`, `sources`, `images` and `lists`.
"""
