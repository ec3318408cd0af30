"""Who knows whom: contacts, applications to become one, groups of contacts.

Owns the tables contact_link (one row per direction of a pair, kept for ever), contact_application, contact_group,
contact_owner (a lock per owner) and contact_effect. Invariants: a pair changes under the lock of both its rows; at most
one application per direction is pending; only its target may accept or decline it; a link's `version` counts every
change of whether its owner accepts messages from the other, and each such change has an effect row in its own
transaction; a contact is in a group of its owner's or in none.
"""
