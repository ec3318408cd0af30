"""Groups: who is in them, who may do what, who asks to join.

Owns the tables `group_info`, `group_member`, `group_apply` and `group_effect`. Invariants:

- A group that is not dismissed has exactly one owner, who is an active member and is `group_info.owner_id`.
- `group_info.member_count` is the number of its active members and never above its `max_members`.
- A member's row stays after leaving (`left_ms`), so that its `version` counts up for ever: only a newer version takes
  effect in message, and a late "removed" never undoes a new invitation. The group's own `version` does the same for
  what concerns everybody (mute all, dismissed).
- Every change is decided on rows that are locked through their group's row, and is committed together with the effect
  that it has on the conversation. So what holds for one change alone holds for any number at once.
- At most one application of a user to a group is pending.

Read `types`, `port`, then `rules` (what may be done, free of I/O) and `changes` (how it is done).
"""
