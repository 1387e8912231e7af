"""x"""
from featstore.layouts.layout import Layout
TEXT_LISTS: tuple[Layout, ...] = ()
