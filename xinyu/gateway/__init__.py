"""Where clients come in: REST and WebSocket. Holds no business rule; the only place that knows the contract's paths,
envelopes, `talk_mode`, `to_from_id`, both spellings of a field and its Chinese error strings."""
