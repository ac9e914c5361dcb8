"""Ways to put a moving figure on a page without a kernel, each built from the same live figure.

``build(subject, folder)`` of each module writes a page that any browser opens from its file.
"""
