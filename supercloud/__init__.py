"""SuperCloud portal: the one door from a browser to a process that is provably the viewer's."""
