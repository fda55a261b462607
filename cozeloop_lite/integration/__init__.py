"""What ties this package to others: frameworks, clients of models, platforms. Each is imported only by who uses it."""
