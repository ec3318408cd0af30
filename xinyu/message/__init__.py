"""The conversation log and everything derived from it.

Owns the tables `message_*`: conversations, members and their intervals, log entries, message ids, entries hidden for
one user, the outbox, devices and their cursors.

Invariants: `seq` is dense per conversation and allocated under the conversation's row lock, in the transaction that
stores the entry (G1, G3); a msg_id names one message for ever (G2); unread counts, backlog and the list are derived
from the log and the cursors, never stored per recipient (G6); what a member may read lies inside his intervals
(join_seq, leave_seq]. Nothing here asks contact or group: their changes arrive as effects with versions.
"""
