"""
Numbered changes to the tables. A number is never used again; each goes forward and back.

A migration can be cut after any statement, also after its last one, before it is on record. It then
runs again from its first statement: what it makes is dropped before, or made only if it is not there.
Where a copy takes the place of a table, `migrate` goes on at the RENAME once that table is gone.
"""
