"""x"""
from featstore.layouts.layout import Layout
PETS: tuple[Layout, ...] = ()
