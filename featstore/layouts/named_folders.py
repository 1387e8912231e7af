"""x"""
from featstore.layouts.layout import Layout
NAMED_FOLDERS: tuple[Layout, ...] = ()
