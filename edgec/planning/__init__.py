"""How the arena is planned: lifetimes and overlap rules, lower bounds, the order of execution, offsets by search, the picture.

`edgec.plan` is the entry; these files are its parts:
    buffers  what must lie in the arena, when, and which pairs may overlap by how much
    bound    the bytes each step needs whatever the offsets
    order    the order of execution with the least peak
    search   offsets: branch and bound over which of two buffers lies below
    verify   a plan checked without any of the above
    picture  the plan as SVG
"""
