"""Drills on the site: one at its place in a chapter, and the page that lists them all.

A notebook shows a drill by an output of the type :data:`booksite.drills.sheet.MIME`. Here it
becomes HTML that a page script may equip with an editor and a grader.
"""
