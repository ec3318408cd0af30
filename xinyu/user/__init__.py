"""Accounts: who a user is, how he proves it, which of his log-ins are good.

Owns the tables `user_account`, `user_password`, `user_preference`, `user_login`, `user_code`; nobody else touches them.

Invariants:
- A mobile number, and an e-mail address, belongs to at most one account; numbers and addresses are stored normalised.
- A log-in is good while its row is not ended, its account is not disabled and the token's `ver` is the account's
  `token_version`. Whatever makes a password known to somebody else worthless (a new password, a reset, disabling) ends
  log-ins in the same transaction.
- A log-in that was verified against a password which was replaced meanwhile is never opened.
- A code serves once, for its channel and its target only, and only the newest one sent does.
- Passwords and codes are kept as hashes; neither is ever logged, except a code by the development sender.
"""
