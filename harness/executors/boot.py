"""First code of a worker process: set the driver's module path, load the driver's harness, then serve calls.

Run as a file and by `python -P`, so that neither the current folder nor this one is searched for modules, here and in
what a worker starts: a `socket.py` that happens to lie there must never hide Python's own. The user's main module is
not imported again, so a script that calls `harness.api.run` needs no main guard.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from multiprocessing.connection import Connection

if __name__ == "__main__":
    pipe = Connection(int(sys.argv[1]))
    path, package = pipe.recv()
    sys.path[:] = path
    spec = spec_from_file_location("harness", package)
    assert spec is not None
    assert spec.loader is not None
    sys.modules["harness"] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules["harness"])
    from harness.executors.processes import serve

    serve(pipe, int(sys.argv[2]))
