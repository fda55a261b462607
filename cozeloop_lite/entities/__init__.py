"""The objects people handle: prompts, messages, results, streams."""
