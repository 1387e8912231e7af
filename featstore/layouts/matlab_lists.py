"""x"""
from featstore.layouts.layout import Layout
MATLAB_LISTS: tuple[Layout, ...] = ()
