"""The plugins here are tested as projects of their own, by the tests beside them."""

collect_ignore_glob = ["dovetail-*"]
