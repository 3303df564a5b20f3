"""From the browser's connection to an exchange: listeners, TLS, HTTP/1.1, pages."""
