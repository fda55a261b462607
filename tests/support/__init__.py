"""What several test folders share: a real server to talk to, real ports that do not answer."""
