"""First code of a worker process: set the driver's module path, load the driver's harness, then serve calls.

It is run as a file and by `python -P`, so that neither the current folder nor this folder is searched for modules, here
or in processes that a worker starts: a file such as `socket.py` must not hide Python's own module. The user's main
module is not imported again, so a script that calls `harness.api.run` needs no main guard.
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
