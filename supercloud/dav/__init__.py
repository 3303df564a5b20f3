"""WebDAV (RFC 4918) over the file system, in the worker of the account whose files these are."""
