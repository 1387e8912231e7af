"""Where the bytes of images are: files, members of archives, cells of Parquet files, memory, addresses on the network.

May import `errors` and `system`.
"""
