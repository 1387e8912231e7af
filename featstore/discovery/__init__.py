"""Any data -> an ImageSet: which source, which layout, what was found and what is doubtful.

May import `errors`, `system`, `sources`, `images`, `lists` and `layouts`.
"""
