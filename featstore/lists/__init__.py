"""Lists of images and labels as people write them: read, their columns understood, their paths found.

May import `errors`, `system`, `sources` and `images`.
"""
