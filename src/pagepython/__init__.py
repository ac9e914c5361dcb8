"""Python in a page: CPython and NumPy, compiled to WebAssembly, in a web worker of the site's own.

The package knows nothing of what a page teaches, and imports no other package of this repository.
``pagepython.renew`` makes the runtime and the editor that are committed here.
"""
