"""x"""
from featstore.layouts.layout import Layout
HUB_FOLDER: tuple[Layout, ...] = ()
