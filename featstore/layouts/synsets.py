"""x"""
from featstore.layouts.layout import Layout
SYNSETS: tuple[Layout, ...] = ()
