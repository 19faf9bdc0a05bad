//! Sans-IO protocols: bytes in; events and bytes out. Law: no socket, no clock, no log.
