class Pictures:
    pass
