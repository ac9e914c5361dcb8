"""Python in a web page: cells that a reader can edit and run where there is no kernel."""
